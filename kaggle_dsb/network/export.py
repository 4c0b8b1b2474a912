"""Export the OpenVINO graph of a torch network."""

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import torch
from openvino import PartialShape
from torch import Tensor, nn

from kaggle_dsb.config import NetworkSettings
from kaggle_dsb.files import InputError
from kaggle_dsb.network.graph import IMAGE
from kaggle_dsb.network.model import NucleusNet

EXAMPLE_SHAPE = (1, 3, 64, 96)
OTHER_SHAPE = (2, 3, 160, 64)
TOLERANCE = 0.01  # of a probability


class _Stateless(nn.Module):
    """A network as a function of the image and of its state, (image, *tensors) -> probability."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.state = {k: v for k, v in network.state_dict().items() if v.is_floating_point()}
        self._network = [network]  # in a list, so that it is not registered as a submodule
        self._places: list[tuple[nn.Module, str]] = []
        for name in self.state:
            parent, _, leaf = name.rpartition(".")
            module = network.get_submodule(parent)
            module._parameters.pop(leaf, None)
            module._buffers.pop(leaf, None)
            self._places.append((module, leaf))

    def forward(self, image: Tensor, *tensors: Tensor) -> Tensor:
        """Return the probability of an image, with these tensors as the network's state."""
        for (module, leaf), tensor in zip(self._places, tensors, strict=True):
            setattr(module, leaf, tensor)
        return torch.sigmoid(self._network[0](image))


def export_graph(settings: NetworkSettings, path: Path) -> None:
    """Write the graph of an architecture: ``path``, and a ``.bin`` of small constants beside it.

    Parameters
    ----------
    settings : NetworkSettings
    path : Path
        Ends in ``.xml``.

    Raises
    ------
    InputError
        When the graph does not compute images of another size as torch does.

    Notes
    -----
    ``torch.func.functional_call`` would do what `_Stateless` does, but refuses to be traced.
    """
    function = _Stateless(NucleusNet(settings, pretrained=False).eval()).eval()
    tensors = [tensor.clone() for tensor in function.state.values()]
    image = torch.zeros(EXAMPLE_SHAPE, dtype=torch.uint8)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of every size that it fixes
        traced: Any = torch.jit.trace(  # type: ignore[no-untyped-call]
            function, (image, *tensors), check_trace=False
        )
        shapes = [PartialShape(list(tensor.shape)) for tensor in tensors]
        model = openvino.convert_model(traced, input=[PartialShape([-1, 3, -1, -1]), *shapes])
    for name, parameter in zip([IMAGE, *function.state], model.get_parameters(), strict=True):
        parameter.set_friendly_name(name)
    _require_equal(model, function, tensors, settings)
    _save(model, path)


def _require_equal(
    model: openvino.Model, function: _Stateless, tensors: list[Tensor], settings: NetworkSettings
) -> None:
    """Raise ``InputError`` unless the graph computes images of another size as torch does."""
    random = torch.Generator().manual_seed(0)  # so that torch's own state is untouched
    image = torch.randint(0, 256, OTHER_SHAPE, dtype=torch.uint8, generator=random)
    with torch.inference_mode():
        expected = function(image, *tensors).numpy()
    compiled = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    try:
        found = compiled([image.numpy(), *(tensor.numpy() for tensor in tensors)])[0]
        is_equal = np.abs(found - expected).max() < TOLERANCE
    except (RuntimeError, ValueError):  # sizes that tracing has fixed
        is_equal = False
    if not is_equal:
        raise InputError(
            f"network.encoder_name = {settings.encoder_name!r}: OpenVINO computes images of other "
            "sizes differently; use hardware.engine=torch"
        )


def _save(model: openvino.Model, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".graph-") as scratch:
        temporary = Path(scratch) / path.name
        openvino.save_model(model, temporary, compress_to_fp16=False)
        # The graph is moved last, so that its presence means that both files are complete.
        for part in (temporary.with_suffix(".bin"), temporary):
            part.replace(path.parent / part.name)

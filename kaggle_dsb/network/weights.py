"""The file of a trained network: its tensors, its settings, and facts about it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from kaggle_dsb.config import Settings
from kaggle_dsb.files import InputError
from kaggle_dsb.settings_files import parse_settings

NETWORK_FORMAT = "kaggle-dsb network 2"
METADATA_KEY = "kaggle_dsb"


@dataclass(frozen=True)
class NetworkFile:
    """The content of a network's file.

    Attributes
    ----------
    tensors : dict of str to array
        In half precision; integers as int64.
    settings : Settings
        The settings of its training.
    facts : dict
        Facts recorded about its training.
    """

    tensors: dict[str, NDArray[Any]]
    settings: Settings
    facts: dict[str, Any]

    def weights(self) -> dict[str, NDArray[np.float32]]:
        """Return the floating-point tensors as float32, by name."""
        floating = {k: v for k, v in self.tensors.items() if np.issubdtype(v.dtype, np.floating)}
        return {name: tensor.astype(np.float32) for name, tensor in floating.items()}


def ranges_file(network: Path) -> Path:
    """Return the path of a network's INT8 ranges, whether the file exists or not.

    Examples
    --------
    >>> ranges_file(Path("runs/mine/fold0.safetensors")).name
    'fold0.ranges.json'
    """
    return network.with_suffix(".ranges.json")


def read_network(path: Path) -> NetworkFile:
    """Read the file of a trained network.

    Raises
    ------
    InputError
        When the file is missing, damaged, or of another format.
    """
    try:
        with safe_open(path, "numpy") as file:
            description = json.loads((file.metadata() or {}).get(METADATA_KEY, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path}: cannot be read as a network ({error}); expected a .safetensors file written "
            "by `kaggle-dsb train`"
        ) from None
    file_format = description.get("format") if isinstance(description, dict) else None
    if file_format != NETWORK_FORMAT:
        raise InputError(
            f"{path}: has network format {file_format!r}, this version of kaggle_dsb reads "
            f"{NETWORK_FORMAT!r}: train it again or use the version that wrote it"
        )
    settings = parse_settings(description.get("settings", {}), source=str(path))
    return NetworkFile(tensors, settings, description.get("facts", {}))

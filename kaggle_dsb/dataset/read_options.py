"""What the user says about files that hold several pictures or nuclei."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from kaggle_dsb.files import InputError

Projection = Literal["max"]


@dataclass(frozen=True)
class ReadOptions:
    """How files that hold more than one picture, or more than one nucleus, are read.

    Attributes
    ----------
    channel, plane : int, optional
        Which channel, and which plane of a z-stack or time series, from 1.
    project : "max", optional
        Take the maximum over all planes instead of one of them.
    connected_components : bool
        Read each part of a binary mask of a whole picture as a nucleus of its own.
    """

    channel: int | None = None
    plane: int | None = None
    project: Projection | None = None
    connected_components: bool = False

    def __post_init__(self) -> None:
        for name, number in (("channel", self.channel), ("plane", self.plane)):
            if number is not None and number < 1:
                raise InputError(f"{name} {number}; the first {name} is 1")
        if self.plane is not None and self.project is not None:
            raise InputError("both a plane and a projection; choose one of them")

    def to_json(self) -> dict[str, Any]:
        """Return the options that differ from the defaults as JSON's types.

        Examples
        --------
        >>> ReadOptions(channel=2).to_json()
        {'channel': 2}
        """
        return {key: value for key, value in asdict(self).items() if value not in (None, False)}


DEFAULT_OPTIONS = ReadOptions()


def parse_read_options(values: Mapping[str, Any], *, source: str) -> ReadOptions:
    """Return stored options; ``source`` names them in errors.

    Raises
    ------
    InputError
        When an option is unknown or its value cannot be meant.

    Examples
    --------
    >>> parse_read_options({"plane": 3}, source="made.json").plane
    3
    """
    try:
        return ReadOptions(**values)
    except (TypeError, InputError):
        known = ", ".join(asdict(DEFAULT_OPTIONS))
        raise InputError(f"{source}: invalid read options {values}; allowed: {known}") from None

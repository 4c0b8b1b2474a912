"""Options for reading stacks and binary masks."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypedDict

from kaggle_dsb.files import InputError

Projection = Literal["max"]


@dataclass(frozen=True)
class ReadOptions:
    """How to read stacks, and masks of several nuclei.

    Attributes
    ----------
    channel, plane : int, optional
        Channel, and plane of a z-stack or time series, counted from 1.
    project : "max", optional
        Use the maximum projection over all planes.
    connected_components : bool
        Read each connected component of a binary mask as a nucleus.
    """

    channel: int | None = None
    plane: int | None = None
    project: Projection | None = None
    connected_components: bool = False

    def __post_init__(self) -> None:
        for name, number in (("channel", self.channel), ("plane", self.plane)):
            if number is not None and not isinstance(number, int):
                raise InputError(f"{name} {number!r}; expected its number, the first {name} is 1")
            if number is not None and number < 1:
                raise InputError(f"{name} {number}; the first {name} is 1")
        if self.project not in (None, "max"):
            raise InputError(f"projection {self.project!r}; the only one is 'max'")
        if self.plane is not None and self.project is not None:
            raise InputError("both a plane and a projection; choose one of them")

    def to_json(self) -> dict[str, Any]:
        """Return the options that differ from the defaults, JSON-serializable.

        Examples
        --------
        >>> ReadOptions(channel=2).to_json()
        {'channel': 2}
        """
        return {key: value for key, value in asdict(self).items() if value not in (None, False)}


class ReadKeywords(TypedDict, total=False):
    """The fields of `ReadOptions`, as keyword arguments of a function."""

    channel: int | None
    plane: int | None
    project: Projection | None
    connected_components: bool


DEFAULT_OPTIONS = ReadOptions()


def parse_read_options(values: Mapping[str, Any], *, source: str) -> ReadOptions:
    """Parse stored options; error messages name them by ``source``.

    Raises
    ------
    InputError
        When an option is unknown or its value is invalid.

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

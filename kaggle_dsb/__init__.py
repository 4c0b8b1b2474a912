"""Find the nuclei: a toolkit for Kaggle's 2018 Data Science Bowl.

The names below are the Python interface; each is imported when it is first used, so that importing
the package takes no time.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.13.0"

if TYPE_CHECKING:
    from kaggle_dsb.api import (
        decode,
        encode,
        load_dataset,
        measure,
        read_submission,
        score,
        segment,
        write_submission,
    )
    from kaggle_dsb.dataset.samples import Sample
    from kaggle_dsb.files import InputError

__all__ = [
    "InputError",
    "Sample",
    "decode",
    "encode",
    "load_dataset",
    "measure",
    "read_submission",
    "score",
    "segment",
    "write_submission",
]


_MODULES = {"InputError": "files", "Sample": "dataset.samples"}
"""Of the names that are not functions of ``api``."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_MODULES.get(name, 'api')}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

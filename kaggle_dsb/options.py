"""Command-line options shared by several commands."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import typer

from kaggle_dsb.dataset.read_options import Projection, ReadOptions
from kaggle_dsb.progress import be_quiet

Data = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH",
        help="Kaggle's zips, their folder, or a folder of images. [default: data, else the demo]",
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN",
        help="Trained networks: folder, name of a run, or bundled. [default: newest complete, "
        "validated run, else bundled]",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="TOML file of changed settings, or a profile name."),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, repeatable; see `config`."),
]
Extra = Annotated[
    list[Path] | None,
    typer.Option(metavar="PATH", help="Additional labelled images to train on, repeatable."),
]
Limit = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Use only N images of each set.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", "-n", help="Check, and print what would be done.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Pictures = Annotated[Path, typer.Option(metavar="FOLDER", help="Output folder of the pictures.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", callback=be_quiet, help="Hide progress and remarks.")
]
TrueLabels = Annotated[
    Path | None,
    typer.Option("--truth", metavar="PATH", help="Solution CSV or folder of label images."),
]
KernelName = Annotated[
    Literal["submit", "train"], typer.Argument(metavar="KERNEL", help="submit or train.")
]


class Reading(NamedTuple):
    """How a command reads images, and the folder of its caches."""

    work: Path
    options: ReadOptions


def _read(
    work: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder of caches and probability maps.")
    ] = Path("work"),
    quiet: Quiet = False,
    channel: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Channel of a stack to read.")
    ] = None,
    plane: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Plane of a stack to read.")
    ] = None,
    project: Annotated[
        Projection | None,
        typer.Option(metavar="max", help="Read the maximum projection of a stack."),
    ] = None,
    connected_components: Annotated[
        bool,
        typer.Option(
            "--connected-components", help="Read each component of a binary mask as a nucleus."
        ),
    ] = False,
) -> Reading:
    return Reading(work, ReadOptions(channel, plane, project, connected_components))


def reads_data(verb: Callable[..., None]) -> Callable[..., None]:
    """Add the options for reading images to a command, which gets them as argument ``reading``."""

    @functools.wraps(verb)
    def _with_reading(**arguments: Any) -> None:
        own = {name: arguments.pop(name) for name in _options_of(_read)}
        verb(**arguments, reading=_read(**own))

    parameters = {**_options_of(verb), **_options_of(_read)}
    del parameters["reading"]
    _with_reading.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
    _with_reading.__annotations__ = {name: p.annotation for name, p in parameters.items()}
    return _with_reading


def _options_of(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return {
        name: parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(function).parameters.items()
    }

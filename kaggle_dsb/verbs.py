"""How the command line parses a verb and lists the verbs."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.models import CommandFunctionType

# The error of every wrong call, of whichever copy of click typer brings along.
CallError: type[Any] = typer.BadParameter.__bases__[0]


class Verb(TyperCommand):
    """A verb of the command line.

    An option that takes one value may be given once; of two, click would ignore the first. In every
    path ``~`` is the home folder, as in ``--data=~/cells``, where the shell leaves it as it is.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words of a call into ``ctx.params``."""
        given, _, order = self.make_parser(ctx).parse_args(args=list(args))
        for number, param in enumerate(order):
            if _takes_one_value(param) and param in order[:number]:
                raise CallError(f"Option {param.opts[0]!r} is given twice; give it once", ctx)
        rest: list[str] = super().parse_args(ctx, args)
        for param in self.params:
            value = ctx.params.get(param.name)
            values = value if isinstance(value, list | tuple) else [value]
            if not any(_is_path(param, each) for each in values):
                continue
            words = given.get(param.name)
            if "" in (words if isinstance(words, list | tuple) else [words]):
                shown = param.opts[0] if param.param_type_name == "option" else param.metavar
                raise CallError(f"{shown!r} is an empty path; expected a file or folder", ctx)
            expanded = [type(each)(os.path.expanduser(each)) for each in values]  # noqa: PTH111
            ctx.params[param.name] = expanded[0] if values == [value] else expanded
        return rest


class Verbs(typer.Typer):
    """An app whose commands are verbs."""

    def command(
        self, name: str | None = None, **options: Any
    ) -> Callable[[CommandFunctionType], CommandFunctionType]:
        """Declare a verb."""
        return super().command(name, cls=Verb, **options)


def _takes_one_value(param: Any) -> bool:
    return param.param_type_name == "option" and not (param.multiple or param.is_flag)


def _is_path(param: Any, value: Any) -> bool:
    """Return whether a value is a path, which older versions of typer still have as a string."""
    return isinstance(value, Path) or (
        isinstance(value, str) and getattr(getattr(param, "type", None), "name", "") == "path"
    )


class VerbsByPurpose(TyperGroup):
    """Lists the verbs of the help under the panel of each, and arguments without their types."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a verb; its arguments are named in the help without Python's types."""
        command: Any = super().get_command(ctx, cmd_name)
        for param in command.params if command else ():
            if param.param_type_name == "argument":
                param.display_type_rich = lambda **_: ""
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section for each panel, and a line for each verb of it."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            summary = command.get_short_help_str(limit=80)
            panels.setdefault(command.rich_help_panel, []).append((name, summary))
        for panel, verbs in panels.items():
            with formatter.section(panel):
                formatter.write_dl(verbs)

"""Read settings from TOML files and ``--set``, and write them.

A file names only what differs from the defaults, ``--set section.key=value`` goes on top, and the
resolved settings are stored with every checkpoint and submission. Those of older versions of the
package are migrated.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from kaggle_dsb.config import Settings, describe_settings
from kaggle_dsb.files import InputError, replacing

PROFILES = Path(__file__).resolve().parent / "profiles"
REMOVED = (
    "training.overlap_loss",
    "training.edge_weight",
    "training.focal_gamma",
    "instances.nucleus_cost",
)
RENAMED = {"instances.second_level": "instances.candidate_scorer"}
_EXPECTED = {
    "model_type": "expected a table of settings",
    "tuple_type": "expected a list in brackets, such as [1, 2]",
    "path_type": "expected the folder of a run, or its name",
}


def find_settings_file(name: Path) -> Path:
    """Return the TOML file of settings that is meant: a path, or the name of a bundled profile.

    Raises
    ------
    InputError
        When there is neither.
    """
    known = {path.stem: path for path in sorted(PROFILES.glob("*.toml"))}
    if name.is_file():
        return name
    if str(name) not in known:
        raise InputError(
            f"{name}: neither a TOML file nor a profile; the profiles are {', '.join(known)}"
        )
    return known[str(name)]


def load_settings(*paths: Path, overrides: Sequence[str] = ()) -> Settings:
    """Resolve the settings of a run.

    Parameters
    ----------
    *paths : Path
        TOML files that name what differs from the defaults; a later one counts more.
    overrides : sequence of str
        ``section.key=value`` each, with the value as TOML writes it; a bare word is a string.

    Raises
    ------
    InputError
        For a file that cannot be read, an unknown key (with the keys that are allowed) or a value
        out of range.

    Examples
    --------
    >>> load_settings(overrides=["training.epochs=3"]).training.epochs
    3
    """
    values: dict[str, Any] = {}
    for path in paths:
        tables = migrate(_read_toml(path))
        _validate(tables, source=str(path))
        _merge(values, tables)
    conflict = _find_conflict(values, paths)
    for override in overrides:
        _apply(values, override)
    try:
        return _validate(values, source="--set")
    except InputError as error:
        raise conflict or error from None


def _find_conflict(values: Mapping[str, Any], paths: Sequence[Path]) -> InputError | None:
    """Return the error of files that are valid each but not together; overrides may resolve it."""
    try:
        _validate(values, source=" with ".join(map(str, paths)))
    except InputError as error:
        return error
    return None


def migrate(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of an older version of the package as the current one names them.

    Parameters
    ----------
    values : mapping
        Nested tables, as a ``config.toml`` or a network's file holds them. What was removed is
        left out: a network is used alike whatever loss it was trained with.

    Examples
    --------
    >>> migrate({"training": {"edge_weight": 0.0, "epochs": 3}})
    {'training': {'epochs': 3}}
    """
    tables: dict[str, Any] = {
        name: dict(table) if isinstance(table, Mapping) else table for name, table in values.items()
    }
    for old in (*REMOVED, *RENAMED):
        section, _, key = old.partition(".")
        table = tables.get(section)
        if not isinstance(table, dict) or key not in table:
            continue
        value = table.pop(key)
        if old in RENAMED:
            table.setdefault(RENAMED[old].partition(".")[2], value)
    return tables


def _merge(values: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(values.setdefault(key, {}), dict):
            _merge(values[key], value)
        else:
            values[key] = value


def parse_settings(values: Mapping[str, Any], *, source: str) -> Settings:
    """Check stored settings, of this or an older version; ``source`` names them in errors."""
    return _validate(migrate(values), source=source)


def _validate(values: Mapping[str, Any], *, source: str) -> Settings:
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{source}: {_explain_setting(error)}") from None


def dump_settings(settings: Settings) -> str:
    """Return all resolved settings as TOML text, defaults included."""
    return tomli_w.dumps(settings.model_dump(mode="json", exclude_none=True))


def write_settings(path: Path, settings: Settings) -> None:
    """Write all resolved settings as TOML, defaults included."""
    with replacing(path) as temporary:
        temporary.write_text(dump_settings(settings), encoding="utf-8")


def annotate_settings(settings: Settings) -> str:
    """Return all settings as TOML text, each with what it means as a comment.

    Examples
    --------
    >>> print(annotate_settings(Settings())[:39])
    [folds]
    n_folds = 4  # Number of folds.
    """
    rows = describe_settings(settings)
    sections = dict.fromkeys(row.name.rpartition(".")[0] for row in rows)
    return "\n".join(
        f"[{section}]\n"
        + "".join(
            f"{row.name.rpartition('.')[2]} = {_write_value(row.value)}  # {row.meaning}\n"
            for row in rows
            if row.name.rpartition(".")[0] == section
        )
        for section in sections
    )


def _write_value(value: Any) -> str:
    if isinstance(value, dict):
        pairs = (f"{json.dumps(key)} = {_write_value(item)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    # Numbers, texts and lists of them are written alike in JSON and TOML.
    return json.dumps("" if value is None else str(value) if isinstance(value, Path) else value)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as a TOML file of settings ({error})") from None


def _apply(values: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    *sections, key = name.strip().split(".")
    if not (equals and sections and all(sections) and key):
        raise InputError(f"--set {override}: expected section.key=value, such as training.epochs=3")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        value = text.strip()
    for section in reversed(sections):
        key, value = section, {key: value}
    _merge(values, {key: value})


def _explain_setting(error: ValidationError) -> str:
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    name = ".".join(place)
    if first["type"] != "extra_forbidden":
        message = first["msg"].removeprefix("Value error, ")
        # Pydantic names types of Python.
        message = _EXPECTED.get(first["type"], message)
        return f"{name} = {first['input']!r}: {message[0].lower()}{message[1:]}"
    section: Any = Settings()
    for part in place[:-1]:
        section = getattr(section, part)
    return f"unknown key {name}; allowed here: {', '.join(type(section).model_fields)}"

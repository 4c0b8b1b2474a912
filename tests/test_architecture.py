"""The shape of the package, read from its source: who may import whom, how long, how tidy."""

import ast
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "kaggle_dsb"
MODULES = sorted(PACKAGE.rglob("*.py"))

STAGES = {
    "competition",
    "dataset",
    "instances",
    "workspace",
    "network",
    "training",
    "report",
    "publish",
}

# A room is a subpackage or a top-level module; beside itself and the aliases it may import these.
ROOMS_IT_MAY_IMPORT = {
    "aliases": set(),
    "files": set(),
    "config": set(),
    "settings_files": {"files", "config"},
    "competition": {"files"},
    "dataset": {"files", "competition"},
    "instances": {"files", "competition"},
    "workspace": {"files", "config", "settings_files", "competition", "dataset"},
    "network": {
        "files",
        "config",
        "settings_files",
        "competition",
        "dataset",
        "instances",
        "workspace",
    },
    "training": {
        "files",
        "config",
        "competition",
        "dataset",
        "instances",
        "workspace",
        "network",
    },
    "report": {"files", "config", "competition", "dataset", "instances", "workspace"},
    "publish": {"files"},
    "progress": set(),
    "tables": {"commands", *STAGES},
    "commands": {"files", "config", "settings_files", "progress", *STAGES},
    "options": {"dataset", "progress"},
    "opening": {"files", "config", "settings_files", "options", "progress", "workspace"},
    "verbs": set(),
    "cli": {
        "files",
        "config",
        "settings_files",
        "options",
        "opening",
        "progress",
        "tables",
        "verbs",
        "commands",
        *STAGES,
    },
    "api": {"files", *STAGES} - {"training", "report", "publish"},
    "__init__": {"api", "dataset", "files"},
    "__main__": {"cli"},
}

LIBRARIES_OF_THE_NETWORK = {
    "albumentations",
    "lightning",
    "openvino",
    "pytorch_lightning",
    "segmentation_models_pytorch",
    "timm",
    "torch",
    "torchmetrics",
    "torchvision",
    "ttach",
}
LIBRARIES_OF_TRAINING = {"albumentations", "lightning", "pytorch_lightning", "torchmetrics"}
LIBRARIES_OF_KAGGLE = {"kaggle", "kagglesdk"}

# The Python interface bears the names of what it opens; `score` is a verb as well.
NAMES_OF_THE_INTERFACE = {"read_submission", "score", "write_submission"}

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef

# Joined here so that this file passes its own test.
REGISTRY_HOSTS = [
    ".".join(parts)
    for parts in [
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("deb", "debian", "org"),
    ]
]
MACHINE_PATH = re.compile(r"(?<![\w.~*-])/(?:home|root|work|Users)/[\w.-]+")


class Import(NamedTuple):
    """One absolute import: ``module`` with dots, and whether it runs when the file is imported."""

    module: str
    line: int
    runs_at_import: bool


def room_of(path: Path) -> str:
    """Name the room a module is in."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def absolute_module(node: ast.ImportFrom, path: Path) -> str:
    """Resolve the module of a from-import, whose leading dots count up from its folder."""
    if node.level == 0:
        return node.module or ""
    folder = path.relative_to(ROOT).parent.parts
    above = folder[: len(folder) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


@cache
def tree_of(path: Path) -> ast.Module:
    """Parse a file, once for all tests."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports_of(path: Path) -> tuple[Import, ...]:
    """List every import of a file, the late ones inside functions too."""
    return tuple(find_imports(path))


def find_imports(path: Path) -> Iterator[Import]:
    """Yield every import of a file."""
    tree = tree_of(path)
    late = {id(node) for function in functions_of(tree) for node in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = absolute_module(node, path)
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            yield Import(name, node.lineno, id(node) not in late)


def functions_of(tree: ast.AST) -> Iterator[Function]:
    """List every function and method, nested ones too."""
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield node


def body_length(function: Function) -> int:
    """Count the lines of a function's body, its docstring left out."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    if not body:
        return 0
    return (body[-1].end_lineno or body[-1].lineno) - body[0].lineno + 1


def where(path: Path, line: int) -> str:
    """Write a place as editors read it."""
    return f"{path.relative_to(ROOT)}:{line}"


def public_definitions(tree: ast.Module) -> Iterator[tuple[str, Definition]]:
    """List a module's public functions and classes, and the classes' public methods."""
    for node in tree.body:
        if not isinstance(node, Definition) or node.name.startswith("_"):
            continue
        yield node.name, node
        for member in node.body if isinstance(node, ast.ClassDef) else []:
            if isinstance(member, Definition) and not member.name.startswith("_"):
                yield f"{node.name}.{member.name}", member


def names_defined_in(tree: ast.Module) -> Iterator[str]:
    """List what a module defines at its top level: functions, classes, constants, aliases."""
    for node in tree.body:
        if isinstance(node, Definition):
            yield node.name
        elif isinstance(node, ast.Assign):
            targets = [name for target in node.targets for name in ast.walk(target)]
            yield from (name.id for name in targets if isinstance(name, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def nested_definitions(tree: ast.Module) -> Iterator[Definition]:
    """List the functions and classes that are defined inside a function."""
    for function in functions_of(tree):
        for node in ast.walk(function):
            if isinstance(node, Definition) and node is not function:
                yield node


def project_files() -> list[Path]:
    """List what git tracks or would track."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return sorted(ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file())


def text_of(path: Path) -> str:
    """Read a text file; a binary one reads as empty."""
    content = path.read_bytes()
    return "" if b"\0" in content else content.decode("utf-8", errors="replace")


def modules_loaded_by(*codes: str) -> list[set[str]]:
    """Run codes in a fresh interpreter; name the top-level modules that it has after each."""
    report = "import sys; print('\\nloaded:', *{name.partition('.')[0] for name in sys.modules})"
    script = "\n".join(f"exec({code!r}, {{}})\n{report}" for code in codes)
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return [
        set(line.split()[1:]) for line in result.stdout.splitlines() if line.startswith("loaded: ")
    ]


def test_every_room_is_known_to_the_rules() -> None:
    assert {room_of(path) for path in MODULES} - ROOMS_IT_MAY_IMPORT.keys() == set()


def test_data_flows_one_way() -> None:
    wrong = []
    for path in MODULES:
        room = room_of(path)
        for imported in imports_of(path):
            package, _, inner = imported.module.partition(".")
            other = inner.partition(".")[0]
            is_ours = package == "kaggle_dsb" and other in ROOMS_IT_MAY_IMPORT
            if is_ours and other not in {room, "aliases", *ROOMS_IT_MAY_IMPORT[room]}:
                wrong.append(f"{where(path, imported.line)}: {room} imports {other}")
    assert wrong == []


@pytest.mark.parametrize(
    ("libraries", "places"),
    [
        (LIBRARIES_OF_THE_NETWORK, ["network/", "training/"]),
        (LIBRARIES_OF_TRAINING, ["training/"]),
        (LIBRARIES_OF_KAGGLE, ["publish/"]),
    ],
    ids=[
        "only the network knows torch",
        "only training knows Lightning",
        "only publish knows Kaggle's client",
    ],
)
def test_a_library_stays_in_its_room(libraries: set[str], places: list[str]) -> None:
    wrong = [
        f"{where(path, imported.line)}: imports {imported.module}"
        for path in MODULES
        if not path.relative_to(PACKAGE).as_posix().startswith(tuple(places))
        for imported in imports_of(path)
        if imported.module.partition(".")[0] in libraries
    ]
    assert wrong == []


def test_kaggles_client_is_imported_late_because_its_import_signs_in() -> None:
    wrong = [
        where(path, imported.line)
        for path in MODULES
        for imported in imports_of(path)
        if imported.module.partition(".")[0] in LIBRARIES_OF_KAGGLE and imported.runs_at_import
    ]
    assert wrong == []


def test_no_function_body_has_more_than_60_lines() -> None:
    wrong = [
        f"{where(path, function.lineno)}: {function.name} has {body_length(function)} lines"
        for path in MODULES
        for function in functions_of(tree_of(path))
        if body_length(function) > 60
    ]
    assert wrong == []


def test_most_function_bodies_are_short() -> None:
    lengths = [
        body_length(function) for path in MODULES for function in functions_of(tree_of(path))
    ]
    assert statistics.median(lengths) <= 10
    assert sum(length <= 30 for length in lengths) >= 0.9 * len(lengths)


def test_everything_public_has_a_docstring() -> None:
    wrong = []
    for path in MODULES:
        tree = tree_of(path)
        if tree.body and ast.get_docstring(tree) is None:
            wrong.append(f"{where(path, 1)}: the module")
        for name, node in public_definitions(tree):
            if ast.get_docstring(node) is None:
                wrong.append(f"{where(path, node.lineno)}: {name}")
        for node in nested_definitions(tree):
            if not node.name.startswith("_") and ast.get_docstring(node) is None:
                wrong.append(f"{where(path, node.lineno)}: {node.name}, in a function")
    assert wrong == []


def test_every_name_has_one_home() -> None:
    homes: dict[str, set[str]] = {}
    for path in MODULES:
        for name in names_defined_in(tree_of(path)):
            homes.setdefault(name, set()).add(str(path.relative_to(PACKAGE)))
    shared = {name: modules for name, modules in homes.items() if len(modules) > 1}
    assert shared.keys() - NAMES_OF_THE_INTERFACE - {"__all__"} == set(), shared


def test_no_file_names_a_registry_host() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {host}"
        for path in project_files()
        for host in REGISTRY_HOSTS
        if host in text_of(path)
    ]
    assert wrong == []


def test_no_file_names_a_path_of_one_machine() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in project_files()
        for match in MACHINE_PATH.finditer(text_of(path))
    ]
    assert wrong == []


@pytest.mark.parametrize("arguments", [["--help"], ["score", "--help"], ["--version"]])
def test_asking_for_help_loads_no_torch(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        f"sys.argv = ['kaggle-dsb', *{arguments!r}]\n"
        "from kaggle_dsb.cli import main\n"
        "try:\n    sys.exit(main())\n"
        "except SystemExit as exit:\n    assert not exit.code, exit.code\n"
    )
    (loaded,) = modules_loaded_by(code)
    assert loaded & LIBRARIES_OF_THE_NETWORK == set()


def test_scoring_loads_no_torch(tmp_path: Path) -> None:
    solution = tmp_path / "solution.csv"
    solution.write_text("ImageId,EncodedPixels,Height,Width,Usage\na,1 2,3,3,Public\n")
    submission = tmp_path / "submission.csv"
    submission.write_text("ImageId,EncodedPixels\na,1 2\n")
    arguments = ["score", str(submission), "--truth", str(solution)]
    code = f"from kaggle_dsb.cli import run\nassert run({arguments!r}) == 0"
    (loaded,) = modules_loaded_by(code)
    assert loaded & LIBRARIES_OF_THE_NETWORK == set()


NOT_NEEDED_TO_PREDICT = {
    *LIBRARIES_OF_THE_NETWORK - {"openvino"},
    *LIBRARIES_OF_KAGGLE,
    "jinja2",
    "matplotlib",
    "pandas",
    "scipy",
    "skimage",
    "sklearn",
}


def test_predicting_loads_nothing_that_trains_tabulates_or_draws() -> None:
    code = "import kaggle_dsb.cli, kaggle_dsb.commands.submit, kaggle_dsb.network.graph"
    (loaded,) = modules_loaded_by(code)
    assert loaded & NOT_NEEDED_TO_PREDICT == set()


def test_exporting_outlines_and_reading_them_loads_no_more_than_predicting(tmp_path: Path) -> None:
    code = f"""
import pathlib
import numpy as np
from kaggle_dsb.dataset.export import export_labels
from kaggle_dsb.dataset.export_formats import EXPORT_FORMATS, TABLE_FORMAT
from kaggle_dsb.dataset.truth import read_truth

labels = np.array([[1, 1, 1, 0], [1, 0, 1, 2], [1, 1, 1, 2]], np.int32)
formats = [name for name in EXPORT_FORMATS if name != TABLE_FORMAT]
for path in export_labels(pathlib.Path({str(tmp_path)!r}), {{"a": labels}}, formats):
    truth = read_truth(path, path.read_bytes(), labels.shape)
    assert truth.labels.max() == 2, path
"""
    (loaded,) = modules_loaded_by(code)
    assert loaded & NOT_NEEDED_TO_PREDICT == set()

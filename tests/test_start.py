"""What each verb imports before it begins: what is not needed is not waited for."""

import ast

import pytest

from tests.test_architecture import LIBRARIES_OF_KAGGLE, PACKAGE, modules_loaded_by

HEAVY = {
    "albumentations",
    "cv2",
    "imagecodecs",
    "jinja2",
    "lightgbm",
    "matplotlib",
    "openvino",
    "pandas",
    "pytorch_lightning",
    "requests",
    "rich",
    "roifile",
    "scipy",
    "segmentation_models_pytorch",
    "skimage",
    "sklearn",
    "tifffile",
    "timm",
    "torch",
    "torchmetrics",
    "torchvision",
    *LIBRARIES_OF_KAGGLE,
}

READERS = {"cv2", "imagecodecs", "tifffile"}
TRAINERS = {
    *READERS,
    "albumentations",
    "matplotlib",
    "pandas",
    "pytorch_lightning",
    "rich",
    "scipy",
    "segmentation_models_pytorch",
    "timm",
    "torch",
    "torchmetrics",
    "torchvision",
}
HEAVY_OF_VERB = {
    "bundle": set(),
    "compare": {"matplotlib", "pandas", "rich"},
    "config": set(),
    "curves": {"matplotlib", "pandas"},
    "data": {*READERS, "rich"},
    "download": set(),
    "experiment": TRAINERS,
    "fetch": {"requests"},
    "gallery": {*READERS, "matplotlib", "pandas", "scipy"},
    "kaggle-submit": {*READERS, "requests"},
    "leaderboard": {"rich"},
    "push": {"requests"},
    "report": {*READERS, "jinja2", "pandas"},
    "score": {"cv2", "rich"},
    "show": {*READERS, "matplotlib"},
    "submit": READERS,
    "train": TRAINERS,
    "tune": {*READERS, "pandas", "rich", "scipy"},
    "validate": {*READERS, "matplotlib", "pandas", "rich", "scipy"},
}
# Each of these needs what the one before it needs: a fresh interpreter takes a second or more.
IN_ONE_INTERPRETER = [
    ["config", "bundle", "leaderboard", "score", "data"],
    ["download", "fetch", "push", "kaggle-submit"],
    ["submit", "show", "gallery", "validate"],
    ["report"],
    ["curves", "compare"],
    ["tune"],
    ["train", "experiment"],
]

TREE = ast.parse((PACKAGE / "cli.py").read_text(encoding="utf-8"))
FUNCTIONS = {node.name: node for node in TREE.body if isinstance(node, ast.FunctionDef)}


def functions_of_verbs():
    """Return the function of each verb in cli.py, by the verb's name."""
    return {
        decorator.args[0].value: function
        for function in FUNCTIONS.values()
        for decorator in function.decorator_list
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "app.command"
    }


def late_imports(function, seen):
    """Return the modules that a function of cli.py, and those it calls, import when they run."""
    seen.add(function.name)
    modules = set()
    for node in ast.walk(function):
        if isinstance(node, ast.ImportFrom):
            modules.add(node.module)
        called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if called in FUNCTIONS and called not in seen:
            modules |= late_imports(FUNCTIONS[called], seen)
    return modules


def test_every_verb_is_known():
    assert sorted(verb for verbs in IN_ONE_INTERPRETER for verb in verbs) == sorted(HEAVY_OF_VERB)
    assert HEAVY_OF_VERB.keys() == functions_of_verbs().keys()


@pytest.mark.parametrize(
    "verbs",
    [
        pytest.param(verbs, marks=pytest.mark.slow) if "train" in verbs else verbs
        for verbs in IN_ONE_INTERPRETER
    ],
    ids=" ".join,
)
def test_a_verb_imports_no_more_than_it_needs(verbs):
    codes = [
        "\n".join(f"import {module}" for module in ["kaggle_dsb.cli", *sorted(modules)])
        for modules in (late_imports(functions_of_verbs()[verb], set()) for verb in verbs)
    ]
    loaded = [modules & HEAVY for modules in modules_loaded_by(*codes)]
    assert loaded == [HEAVY_OF_VERB[verb] for verb in verbs]

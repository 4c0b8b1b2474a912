"""Kaggle's notebook image has versions that the package allows."""

import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
IMAGE = [
    Requirement(line)
    for line in Path(__file__).with_name("kaggle-image.txt").read_text().splitlines()
    if not line.startswith("#")
]


@pytest.mark.parametrize("pinned", IMAGE, ids=str)
def test_a_version_of_kaggles_image_lies_within_the_stated_bounds(pinned: Requirement) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = chain(project["dependencies"], *project["optional-dependencies"].values())
    stated = [r for r in map(Requirement, lines) if r.name == pinned.name]
    (version,) = pinned.specifier
    assert stated
    assert all(requirement.specifier.contains(version.version) for requirement in stated)

"""The kernels' metadata: made in one place, checked before a push."""

import json
from pathlib import Path
from typing import Any

import pytest

from kaggle_dsb.files import InputError, read_json
from kaggle_dsb.publish.bundle import NO_OWNER
from kaggle_dsb.publish.kernel import (
    KERNELS,
    check_kernel,
    describe_kernel,
    prepare_kernel,
    to_slug,
)

KERNELS_FOLDER = Path(__file__).parents[2] / "kernels"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return prepare_kernel("submit", tmp_path, owner="ada", kernels=KERNELS_FOLDER)


def change(folder: Path, **values: Any) -> list[str]:
    path = folder / "kernel-metadata.json"
    metadata = json.loads(path.read_text()) | values
    path.write_text(json.dumps({k: v for k, v in metadata.items() if v is not None}))
    return [fault.removeprefix(f"{path}: ") for fault in check_kernel(folder)]


def test_the_internet_is_written_as_off_and_the_gpu_by_name() -> None:
    assert describe_kernel("submit", owner="ada") == {
        "id": "ada/kaggle-dsb-submit",
        "title": "kaggle-dsb submit",
        "code_file": "submit.py",
        "language": "python",
        "kernel_type": "script",
        "is_private": True,
        "enable_gpu": True,
        "enable_tpu": False,
        "enable_internet": False,
        "dataset_sources": ["ada/kaggle-dsb-bundle"],
        "competition_sources": ["data-science-bowl-2018"],
        "kernel_sources": [],
        "model_sources": [],
        "machine_shape": "NvidiaTeslaT4",
    }


def test_on_the_cpu_no_machine_is_named() -> None:
    metadata = describe_kernel("train", owner="ada", hardware="cpu")
    assert metadata["enable_gpu"] is False
    assert "machine_shape" not in metadata


@pytest.mark.parametrize("name", KERNELS)
def test_a_trained_kernel_has_the_train_kernels_output(name: str) -> None:
    metadata = describe_kernel(name, owner="ada", trained=True)
    assert metadata["kernel_sources"] == ["ada/kaggle-dsb-train"]


@pytest.mark.parametrize("name", KERNELS)
def test_the_file_beside_each_script_is_what_would_be_made(name: str) -> None:
    metadata = read_json(KERNELS_FOLDER / name / "kernel-metadata.json")
    assert metadata == describe_kernel(name, owner=NO_OWNER)


@pytest.mark.parametrize("name", KERNELS)
def test_a_slug_is_what_kaggles_client_makes_of_the_title(name: str) -> None:
    from slugify import slugify

    assert to_slug(KERNELS[name].title) == slugify(KERNELS[name].title)


def test_a_prepared_kernel_has_no_fault(folder: Path) -> None:
    assert check_kernel(folder) == []
    assert (folder / "submit.py").read_text() == (KERNELS_FOLDER / "submit/submit.py").read_text()


def test_the_placeholder_is_nobodys_name(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        prepare_kernel("submit", tmp_path, owner=NO_OWNER, kernels=KERNELS_FOLDER)
    assert str(caught.value) == (
        f"{tmp_path}/submit/kernel-metadata.json: id 'your-name/kaggle-dsb-submit': "
        "replace your-name with your Kaggle user name"
    )


def test_an_unknown_kernel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        prepare_kernel("infer", tmp_path, owner="ada")
    assert str(caught.value) == "unknown kernel 'infer'; choose from submit, train"


def test_without_the_scripts_the_folder_to_run_in_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        prepare_kernel("submit", tmp_path / "build", owner="ada", kernels=tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/submit/submit.py: no such file; run this in the project's folder"
    )


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"id": "kaggle-dsb-submit"}, "id 'kaggle-dsb-submit': must be user/slug, with a slug of "
                                      "5 to 50 characters a-z, 0-9 and -"),
        ({"title": "Nuclei"}, "title 'Nuclei': gives the slug 'nuclei', but id has "
                              "'kaggle-dsb-submit'"),
        ({"enable_internet": None}, "enable_internet: must be set to false; by default Kaggle "
                                    "turns it on"),
        ({"enable_internet": "false"}, "enable_internet: must be set to false; by default Kaggle "
                                       "turns it on"),
        ({"enable_gpu": "yes"}, "enable_gpu 'yes': must be true or false"),
        ({"machine_shape": "P100"}, "machine_shape 'P100': must be 'NvidiaTeslaT4' with a GPU"),
        ({"language": "r"}, "language 'r': must be 'python'"),
        ({"kernel_type": "notebook"}, "kernel_type 'notebook': must be 'script'"),
        ({"dataset_sources": ["bundle"]}, "dataset_sources: 'bundle' must be user/slug"),
        ({"dataset_sources": []}, "dataset_sources: must include the bundle, which has the code "
                                  "to run"),
        ({"kernel_sources": "ada/kaggle-dsb-train"}, "kernel_sources: must be a list, empty for "
         "none"),
        ({"competition_sources": ["c/data-science-bowl-2018"]}, "competition_sources: "
         "'c/data-science-bowl-2018' must be a slug without a user"),
        ({"code_file": "main.py"}, "code_file 'main.py': no such file in {folder}"),
    ],
)  # fmt: skip
def test_a_fault_is_told_in_a_line(folder: Path, values: dict[str, Any], fault: str) -> None:
    assert change(folder, **values) == [fault.format(folder=folder)]


def test_a_misspelt_key_is_told(folder: Path) -> None:
    (fault,) = change(folder, dataset_source=["ada/kaggle-dsb-bundle"])
    assert fault.startswith("unknown key 'dataset_source'; known keys: id, title, code_file")


def test_a_script_that_is_no_python_is_told(folder: Path) -> None:
    (folder / "submit.py").write_text("def :")
    assert check_kernel(folder) == [
        f"{folder}/kernel-metadata.json: code_file 'submit.py': is not valid Python (invalid "
        "syntax (<unknown>, line 1))"
    ]


def test_metadata_that_is_no_json_is_told(folder: Path) -> None:
    path = folder / "kernel-metadata.json"
    path.write_text("{")
    assert check_kernel(folder) == [
        f"{path}: cannot be read as JSON (Expecting property name enclosed in double quotes: line "
        "1 column 2 (char 1))"
    ]

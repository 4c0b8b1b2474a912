import resource
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from kaggle_dsb.cli import run
from tests.commands.examples import call_in_a_process, write_png


def test_data_is_prepared_and_described(data, capsys):
    assert run(["data", "--info"]) == 0
    said = capsys.readouterr().out
    assert "stage1_test: 2 images, no annotations" in said
    assert "size 64 x 64" in said
    assert "type fluorescence" in said
    assert "groups of images that share a fold: 2 from pixels" in said


def test_groups_that_training_could_not_use_are_told(foreign, capsys):
    (foreign / "groups.csv").write_text("ImageId,group\nf0,patient 1\n")
    assert run(["data", "--data", str(foreign)]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: {foreign / 'groups.csv'}: has no group for image f1 (1 images missing)"
    )


def test_several_annotated_sets_are_described(foreign, tmp_path, capsys):
    for day in ("monday", "tuesday"):
        shutil.copytree(foreign, tmp_path / "week" / day)
    assert run(["data", "--info", "--data", str(tmp_path / "week")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "to train on, one by one, with --data and --extra: monday, tuesday"
    )


def test_the_groups_of_a_table_are_described(foreign, capsys):
    (foreign / "groups.csv").write_text("ImageId,group\nf0,patient 1\nf1,patient 1\n")
    assert run(["data", "--data", "foreign", "--info"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "groups of images that share a fold: 1 from groups.csv"
    )


def damage_truncate(data):
    path = data / "stage1_test/n2/images/n2.png"
    path.write_bytes(path.read_bytes()[:200])
    return "stage1_test/n2/images/n2.png"


def damage_empty(data):
    (data / "stage1_test/n2/images/n2.png").write_bytes(b"")
    return "stage1_test/n2/images/n2.png"


def damage_text(data):
    (data / "stage1_test/n2/images/n2.png").write_text("this is no picture")
    return "stage1_test/n2/images/n2.png"


def damage_mask_size(data):
    write_png(data / "stage1_train/n0/masks/1.png", np.full((5, 5), 255, np.uint8))
    return "stage1_train/n0/masks/1.png"


def damage_no_zip(data):
    (data / "stage2_test_final.zip").write_text("<html>sign in</html>")
    return "stage2_test_final.zip"


def damage_escaping_zip(data):
    with zipfile.ZipFile(data / "stage2_test_final.zip", "w") as packed:
        packed.writestr("../../evil.png", b"x")
    return "evil.png"


@pytest.mark.parametrize(
    "damage",
    [
        damage_truncate,
        damage_empty,
        damage_text,
        damage_mask_size,
        damage_no_zip,
        damage_escaping_zip,
    ],
)
def test_damaged_data_is_refused_by_name_and_leaves_nothing(data, damage, capsys):
    name = damage(data)
    assert run(["data"]) == 2
    said = capsys.readouterr().err
    assert name in said
    assert "Traceback" not in said
    assert list(Path("work").rglob("*.png")) == []
    assert not Path("evil.png").exists()


def test_all_faults_are_told_at_once(data, capsys):
    names = [damage_truncate(data), damage_mask_size(data), damage_no_zip(data)]
    assert run(["data"]) == 2
    said = capsys.readouterr().err
    assert "3 errors in the data:" in said
    assert all(name in said for name in names)


def test_a_full_disk_is_one_line_and_loses_nothing(data):
    def no_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    process = call_in_a_process("data", preexec_fn=no_room)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert said.splitlines()[-1].endswith(": File too large")
    assert said.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in said
    assert list(Path("work").rglob("*.png")) == []


def test_checking_data_again_repeats_the_warnings(foreign, capsys):
    write_png(foreign / "labels" / "f0.png", np.zeros((64, 80), np.uint16))
    for _ in range(2):
        assert run(["data", "--data", "foreign"]) == 0
        assert "warning: labels/f0.png: contains no nuclei" in capsys.readouterr().err

"""The whole tool: the least valid call of each verb, then each mistake with its exit code."""

import json
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from kaggle_dsb.cli import run
from kaggle_dsb.competition.labels import read_labels
from kaggle_dsb.competition.submission import write_submission
from kaggle_dsb.config import NetworkSettings, Settings, load_settings, write_settings
from kaggle_dsb.dataset.demo import make_image
from kaggle_dsb.dataset.disturb import DISTURBANCES
from kaggle_dsb.instances.features import FEATURES
from kaggle_dsb.instances.forest import Growth, grow_forest
from kaggle_dsb.instances.outline_choice import FEATURES_OF_A_LEVEL
from kaggle_dsb.instances.second_level import SecondLevel
from kaggle_dsb.network.model import NucleusNet, load_network, save_network
from kaggle_dsb.network.predict import SPLIT_TO_MEASURE

TINY = NetworkSettings(decoder_channels=(16, 8, 8, 8, 8))


def write_png(path: Path, array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), array)


def crop_on_a_nucleus(image, labels, size):
    """Cut a window around the first nucleus, so that there is something in it."""
    middle = np.argwhere(labels == 1).mean(axis=0).astype(int)
    top, left = (
        max(0, min(m - s // 2, n - s)) for m, s, n in zip(middle, size, labels.shape, strict=True)
    )
    window = np.s_[top : top + size[0], left : left + size[1]]
    return image[window], labels[window]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to stand in, without bundled weights or data."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def data(here):
    """Kaggle's layout with two training and two test images of odd sizes, and the solution."""
    rows = ["ImageId,EncodedPixels,Height,Width,Usage"]
    for number, (height, width) in enumerate([(64, 64), (70, 61), (64, 64), (50, 90)]):
        image, labels = crop_on_a_nucleus(*make_image(number, look=number), (height, width))
        assert labels.any()
        part = "stage1_train" if number < 2 else "stage1_test"
        write_png(here / "data" / part / f"n{number}" / "images" / f"n{number}.png", image)
        for label in np.unique(labels[labels > 0]) if number < 2 else ():
            mask = (labels == label).astype(np.uint8) * 255
            write_png(here / "data" / part / f"n{number}" / "masks" / f"{label}.png", mask)
        if number >= 2:
            write_submission(here / "one.csv", {f"n{number}": labels})
            lines = (here / "one.csv").read_text().splitlines()[1:]
            rows += [f"{line},{height},{width},Public" for line in lines]
    (here / "data" / "stage1_solution.csv").write_text("\n".join(rows) + "\n")
    sample = "ImageId,EncodedPixels\nn3,1 1\nn2,1 1\n"
    (here / "data" / "stage1_sample_submission.csv").write_text(sample)
    return here / "data"


@pytest.fixture
def weights(here):
    """Two untrained networks, as a training leaves them."""
    folder = here / "weights"
    settings = Settings(network=TINY)
    for fold in (0, 1):
        torch.manual_seed(fold)
        network = NucleusNet(TINY, pretrained=False)
        save_network(folder / f"fold{fold}.safetensors", network, settings, fold=fold)
    write_settings(folder / "config.toml", settings)
    table = "ImageId,type,group,fold\nn0,fluorescence,0,0\nn1,fluorescence,1,1\n"
    (folder / "folds.csv").write_text(table)
    return folder


QUICK = ["--set", "prediction.tta=none"]
TWO_FOLDS = ["--set", "folds.n_folds=2"]


def test_data_is_prepared_and_described(data, capsys):
    assert run(["data", "--info"]) == 0
    said = capsys.readouterr().out
    assert "stage1_test: 2 images, 0 nuclei" in said
    assert "size 64 x 64" in said
    assert "type fluorescence" in said


def test_submit_writes_a_checked_submission_and_what_made_it(data, weights, capsys):
    assert run(["submit", "--weights", "weights", "--name", "first", *QUICK]) == 0
    folder = Path("submissions/first")
    written = pd.read_csv(folder / "submission.csv", keep_default_na=False)
    assert list(dict.fromkeys(written["ImageId"])) == ["n3", "n2"]
    made = json.loads((folder / "made.json").read_text())
    assert made["data"] == "data"
    assert set(made["weights_sha256"]) == {"fold0.safetensors", "fold1.safetensors"}
    assert 'tta = "none"' in (folder / "config.toml").read_text()
    assert read_labels(folder / "labels" / "n3.png").shape == (50, 90)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("submissions/first/submission.csv: 2 images, ")
    assert said[1].startswith("score: 0.")
    assert said[-1].startswith("next: open submissions/first/labels, then upload ")


def test_the_same_call_writes_the_same_bytes(data, weights):
    for name in ("first", "again"):
        assert run(["submit", "--weights", "weights", "--name", name, *QUICK]) == 0
    files = [Path("submissions") / name / "submission.csv" for name in ("first", "again")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_submit_takes_a_folder_of_ones_own_images(here, weights):
    write_png(here / "mine" / "cells.tif", np.full((40, 33), 9, np.uint16))
    call = ["submit", "--data", "mine", "--weights", "weights", "--name", "own", *QUICK]
    assert run(call) == 0
    Path("submissions/own/score.json").write_text("{}")
    assert run(call) == 0
    assert not Path("submissions/own/score.json").exists()  # it was of the earlier nuclei
    assert pd.read_csv("submissions/own/submission.csv")["ImageId"].unique().tolist() == ["cells"]


def test_a_submission_is_scored_as_a_table_and_as_json(data, weights, capsys):
    run(["submit", "--weights", "weights", "--name", "first", *QUICK])
    capsys.readouterr()
    assert run(["score", "--name", "first"]) == 0
    assert "mean precision by threshold" in capsys.readouterr().out
    call = ["score", "submissions/first/submission.csv", "--truth", "data/stage1_solution.csv"]
    assert run([*call, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report["images"]) == {"n2", "n3"}
    assert len(report["per_threshold"]) == 10
    assert report["score"] == pytest.approx(
        np.mean([i["score"] for i in report["images"].values()])
    )


def test_the_truth_scores_one_against_itself_in_every_form(data, capsys):
    solution = pd.read_csv(data / "stage1_solution.csv", keep_default_na=False)
    solution[["ImageId", "EncodedPixels"]].to_csv("perfect.csv", index=False)
    for extra in (["--data", "data"], ["--truth", "data/stage1_solution.csv"]):
        assert run(["score", "perfect.csv", *extra, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["score"] == 1
    cache = next(Path("work/cache").iterdir())
    shutil.copytree(cache / "stage1_train" / "labels", "labels")
    assert run(["score", "labels", "--data", "data", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["score"], set(report["images"])) == (1, {"n0", "n1"})
    assert sum(kind["images"] for kind in report["per_type"].values()) == 2
    assert {kind["score"] for kind in report["per_type"].values()} == {1}


def test_training_labels_without_sizes_are_a_truth_too(data, capsys):
    solution = pd.read_csv(data / "stage1_solution.csv", keep_default_na=False)
    solution[["ImageId", "EncodedPixels"]].to_csv("plain.csv", index=False)
    assert run(["score", "plain.csv", "--truth", "plain.csv", "--data", "data", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["score"] == 1


def test_validate_scores_each_image_with_the_network_that_has_not_seen_it(data, weights, capsys):
    call = ["validate", "--weights", "weights", *QUICK]
    assert run([*call, "--save", "oof.csv"]) == 0
    table = pd.read_csv("oof.csv")
    assert table[["ImageId", "fold"]].to_numpy().tolist() == [["n0", 0], ["n1", 1]]
    assert "out-of-fold score of weights" in capsys.readouterr().out
    assert run([*call, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["score"] == pytest.approx(table["score"].mean())
    assert set(report["per_fold"]) == {"0", "1"}


def test_each_fold_is_predicted_by_its_own_network(data, weights):
    assert run(["validate", "--weights", "weights", *QUICK]) == 0
    (before,) = map(np.load, Path("work/oof").glob("*/n1.npy"))
    table = "ImageId,type,group,fold\nn0,fluorescence,0,0\nn1,fluorescence,1,0\n"
    (weights / "folds.csv").write_text(table)
    assert run(["validate", "--weights", "weights", *QUICK]) == 0
    first, second = map(np.load, Path("work/oof").glob("*/n1.npy"))
    assert (first != second).any()
    assert any((before == one).all() for one in (first, second))


def test_probabilities_of_another_measure_of_size_are_not_taken_for_these(
    data, weights, monkeypatch
):
    assert run(["validate", "--weights", "weights", *QUICK]) == 0
    monkeypatch.setitem(SPLIT_TO_MEASURE, "body_threshold", 0.3)
    assert run(["validate", "--weights", "weights", *QUICK]) == 0
    assert len(list(Path("work/oof").glob("*/n1.npy"))) == 2


def test_the_out_of_fold_report_of_a_run_that_was_trained_further(data, weights):
    further = load_settings(
        weights / "config.toml", overrides=["training.start_from=runs/first", QUICK[1]]
    )
    write_settings(weights / "config.toml", further)
    assert run(["report", "--oof", "--weights", "weights"]) == 0
    assert "start_from = &#34;runs/first&#34;" in Path("reports/out-of-fold.html").read_text()


def save_second_level(folder, *, fold):
    """Keep one that promises a half of every candidate, and nothing of other levels."""
    growth = Growth(trees=2, rate=0.1, leaves=2, feature_share=1.0)
    forests = [
        grow_forest(
            np.zeros((9, len(names)), np.float32),
            np.full(9, value),
            weights=np.ones(9),
            growth=growth,
            seed=0,
        )
        for names, value in ((FEATURES, 0.5), (FEATURES_OF_A_LEVEL, 0.0))
    ]
    SecondLevel(*forests).save(folder / f"second_level{fold}.safetensors")


def test_tune_writes_what_it_chose_and_drops_a_second_level_that_does_not_gain(
    data, weights, capsys
):
    save_second_level(weights, fold=0)
    assert run(["tune", "--weights", "weights", "--trials", "2", *QUICK]) == 0
    said = capsys.readouterr().out
    assert "nested score, of the images that all were tried on" in said
    tuned = load_settings(weights / "config.toml").instances
    assert re.search(rf"^min_seed_px +{tuned.min_seed_px}$", said, re.MULTILINE)
    # Untrained networks score nothing either way, and so gain nothing by a second level.
    assert not tuned.second_level
    assert not list(weights.glob("second_level*"))


def test_a_second_level_is_used_and_recorded_where_there_is_one(data, weights, capsys):
    for fold in (0, 1):
        save_second_level(weights, fold=fold)
    call = ["submit", "--weights", "weights", "--name", "first", *QUICK]
    assert run([*call, "--set", "instances.nucleus_cost=0.6"]) == 0
    assert ": 2 images, 0 nuclei, checked" in capsys.readouterr().out  # all are too dear
    made = json.loads(Path("submissions/first/made.json").read_text())
    assert "second_level1.safetensors" in made["weights_sha256"]
    (weights / "second_level1.safetensors").unlink()
    assert run(call) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: weights: fold 1 has no second level, others have; make it with `kaggle-dsb tune`, "
        "or do without: --set instances.second_level=false"
    )


def test_fast_takes_one_network_and_no_rotations(data, weights):
    assert run(["submit", "--weights", "weights", "--name", "fast", "--fast"]) == 0
    made = json.loads(Path("submissions/fast/made.json").read_text())
    assert list(made["weights_sha256"]) == ["fold0.safetensors"]
    assert load_settings(Path("submissions/fast/config.toml")).prediction.tta == "none"


def test_diagnose_tells_where_the_score_goes_and_draws_the_worst(data, weights, capsys):
    call = ["diagnose", "--weights", "weights", "--worst", "1", "--output", "seen", *QUICK]
    assert run(call) == 0
    said = capsys.readouterr().out
    assert all(word in said for word in ("missed", "invented", "merged", "split", "outline"))
    drawn = sorted(path.name for path in Path("seen").iterdir())
    assert drawn[0] == "losses.png"
    assert drawn[1].startswith("worst-1-n")
    assert len(drawn) == 2


def test_robustness_scores_every_disturbance(data, weights, capsys):
    assert run(["robustness", "--weights", "weights", *QUICK]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in DISTURBANCES)


def test_an_experiment_that_trains_nothing_new_compares_and_logs(data, weights, capsys):
    call = ["experiment", "try", "--against", "weights", "--log", "log.md"]
    assert run([*call, "--set", "instances.body_threshold=0.7"]) == 0
    assert "log.md: one row more" in capsys.readouterr().out
    quick = ["--both", "prediction.tta=none", "--fold", "1"]
    assert run([*call, "--set", "instances.min_area_px=5", *quick]) == 0
    rows = [line for line in Path("log.md").read_text().splitlines() if line.startswith("| 20")]
    assert [row.split(" | ")[1] for row in rows] == [
        "instances.body_threshold=0.7",
        "instances.min_area_px=5 (both prediction.tta=none)",
    ]
    assert [row.split(" | ")[2] for row in rows] == ["2", "1"]
    assert not Path("runs/try").exists()


def test_an_experiment_trains_nothing_where_what_stands_cannot_be_read(data, weights, capsys):
    (weights / "fold1.safetensors").write_bytes(b"damaged")
    call = ["experiment", "try", "--against", "weights", "--fold", "1", "--log", "log.md"]
    assert run([*call, "--set", "training.seed=9", *QUICK]) == 2
    assert "weights/fold1.safetensors" in capsys.readouterr().err.splitlines()[-1]
    assert not Path("runs/try").exists()


@pytest.mark.slow
def test_an_experiment_trains_the_variation_on_the_folds_of_what_it_is_tried_against(data, capsys):
    tiny = ["network.decoder_channels=[16,8,8,8,8]", "augment.crop_px=64", "folds.n_folds=2"]
    sets = [part for one in (*tiny, "prediction.tta=none") for part in ("--set", one)]
    assert run(["train", "--name", "base", "--limit", "2", *sets]) == 0
    call = ["experiment", "try", "--against", "runs/base", "--fold", "1", "--log", "log.md"]
    assert run([*call, "--set", "training.edge_weight=1"]) == 0
    assert Path("runs/try/fold1.safetensors").exists()
    assert not Path("runs/try/fold0.safetensors").exists()
    assert Path("runs/try/folds.csv").read_text() == Path("runs/base/folds.csv").read_text()
    assert load_settings(Path("runs/try/config.toml")).training.edge_weight == 1
    assert "| training.edge_weight=1 | 1 |" in Path("log.md").read_text()


MISTAKES = {
    "missing folder": (
        ["submit", "--data", "absent", "--weights", "weights"],
        "absent: no such file or folder; accepted are data-science-bowl-2018.zip, a folder with "
        "Kaggle's zips, one of these zips, folders of ID/images/ID.png and ID/masks/*.png, or a "
        "folder of PNG, TIFF or JPEG images",
    ),
    "no weights": (
        ["submit", "--weights", "empty"],
        "empty: holds no fold<N>.safetensors; name the folder of a finished training",
    ),
    "unknown set": (
        ["submit", "--weights", "weights", "--set-name", "stage3"],
        "data: has no set 'stage3'; it has stage1_test, stage1_train",
    ),
    "name with a slash": (
        ["submit", "--weights", "weights", "--name", "a/b"],
        "--name 'a/b': must be a plain folder name, as first-try",
    ),
    "unknown setting": (
        ["submit", "--weights", "weights", "--set", "prediction.tt=none"],
        "--set: unknown key prediction.tt; allowed here: tta, scales, tile_px, overlap_px",
    ),
    "unknown fold": (["train", "--fold", "7"], "fold 7 does not exist; there are [0, 1]"),
    "tuning one fold": (
        ["tune", "--weights", "one"],
        "one: has networks for the images of one fold; a nested choice needs those of two folds or "
        "more",
    ),
    "an experiment that changes nothing": (
        ["experiment", "try", "--against", "weights", "--set", "instances.min_area_px=12"],
        "weights: nothing differs from its settings in network, augment, training, prediction, "
        "instances; name it with --set",
    ),
    "an experiment that would train what stands": (
        [
            "experiment",
            "try",
            "--against",
            "weights",
            "--set",
            "folds.seed=9",
            "--both",
            "training.epochs=2",
        ],
        "--both training.epochs=2: the networks of weights are trained already; name what the "
        "variation is to be trained with by --set",
    ),
    "an experiment on a fold that is not there": (
        ["experiment", "try", "--against", "weights", "--set", "training.seed=9", "--fold", "5"],
        "weights: has no network of fold 5; it has 0, 1",
    ),
    "unknown profile": (
        ["train", "--config", "kaggle_dsb/profiles/tpu.toml"],
        "kaggle_dsb/profiles/tpu.toml: cannot be read as a TOML file of settings (",
    ),
    "unknown verb": (["sumbit"], "No such command 'sumbit'. Did you mean 'submit'?"),
    "nothing to score": (
        ["score", "absent.csv", "--truth", "data/stage1_solution.csv"],
        "absent.csv: no such file or folder; give a submission or label images",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_call_gets_one_line_and_exit_code_2(data, weights, mistake, capsys):
    call, message = MISTAKES[mistake]
    Path("empty").mkdir()
    shutil.copytree("weights", "one")
    Path("one/fold1.safetensors").unlink()
    Path("runs/mine").mkdir(parents=True)
    shutil.copy("weights/folds.csv", "runs/mine/folds.csv")
    assert run(call) == 2
    said = capsys.readouterr()
    assert said.err.splitlines()[-1].startswith(f"error: {message}")
    assert "Traceback" not in said.err
    assert said.out == ""
    assert not Path("submissions").exists()


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
    assert "3 faults in the data:" in said
    assert all(name in said for name in names)


BAD_TABLES = {
    "ImageID,EncodedPixels\nn2,1 1\nn3,1 1\n": "line 1",
    ",ImageId,EncodedPixels\n0,n2,1 1\n1,n3,1 1\n": "line 1",
    'ImageId,EncodedPixels\nn2,"[1, 2]"\nn3,1 1\n': "line 2",
    "ImageId,EncodedPixels\nn2,1 1 5\nn3,1 1\n": "line 2",
    "ImageId,EncodedPixels\nn2,9 2 1 2\nn3,1 1\n": "line 2",
    "ImageId,EncodedPixels\nn2,1 5 3 2\nn3,1 1\n": "line 2",
    "ImageId,EncodedPixels\nn2,4096 2\nn3,1 1\n": "line 2",
    "ImageId,EncodedPixels\nn2,1 1\nn3,1 1\nn9,1 1\n": "n9",
    "ImageId,EncodedPixels\nn2,1 1\n": "n3",
    "": "empty",
}


@pytest.mark.parametrize("text", BAD_TABLES)
def test_a_wrong_submission_is_refused_by_file_and_place(data, text, capsys):
    Path("bad.csv").write_text(text)
    assert run(["score", "bad.csv", "--truth", "data/stage1_solution.csv"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("error: bad.csv: ")
    assert BAD_TABLES[text] in said[0]


def test_a_sample_submission_of_other_images_stops_the_submission(data, weights, capsys):
    (data / "stage1_sample_submission.csv").write_text("ImageId,EncodedPixels\nn2,1 1\n")
    assert run(["submit", "--weights", "weights", "--name", "first", *QUICK]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: stage1_sample_submission.csv and stage1_test must name the same images: n3 is only "
        "among the images (1 such); get both files again"
    )
    assert not Path("submissions/first/submission.csv").exists()


def test_training_goes_on_only_with_the_settings_it_was_begun_with(data, capsys):
    Path("runs/mine").mkdir(parents=True)
    write_settings(Path("runs/mine/config.toml"), Settings())
    assert run(["train", "--set", "training.epochs=9"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: runs/mine/config.toml: this run was begun with training.epochs = 15, not 9; go "
        "on with the same settings or choose another --name"
    )


def test_a_training_goes_on_only_from_networks_that_have_not_seen_what_is_held_out(
    data, weights, capsys
):
    call = ["train", "--set", "training.start_from=weights", "--fold", "7"]
    assert run(call) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: fold 7 does not exist")
    assert not Path("runs").exists()
    Path("runs/mine").mkdir(parents=True)
    Path("runs/mine/folds.csv").write_text(
        "ImageId,type,group,fold\nn0,fluorescence,0,1\nn1,fluorescence,1,0\n"
    )
    assert run(call) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: runs/mine/folds.csv: other folds than weights/folds.csv; a network of "
        "training.start_from would have seen what is held out here"
    )


def test_runs_that_went_on_from_one_another_are_averaged(data, weights, capsys):
    shutil.copytree("weights", "further")
    for fold in (0, 1):
        path = Path(f"further/fold{fold}.safetensors")
        network, settings, _ = load_network(path)
        with torch.no_grad():
            network.unet.segmentation_head[0].bias += 2
        save_network(path, network, settings)
    assert run(["average", "weights", "further", "--name", "both"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "runs/both/fold0.safetensors",
        "runs/both/fold1.safetensors",
    ]
    name = "unet.segmentation_head.0.bias"
    one, mean = (load_file(f"{at}/fold1.safetensors")[name] for at in ("weights", "runs/both"))
    assert torch.allclose(mean.float(), one.float() + 1, atol=2e-3)
    assert load_network(Path("runs/both/fold1.safetensors"))[2] == {
        "fold": 1,
        "mean_of": ["weights", "further"],
    }
    assert run(["validate", "--weights", "runs/both", *QUICK]) == 0
    assert run(["average", "weights", "further", "--name", "both"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: runs/both: holds a run already; choose another --name"
    )


def test_only_like_runs_are_averaged(data, weights, capsys):
    def refusal(*runs):
        assert run(["average", *runs, "--name", "both"]) == 2
        assert not Path("runs").exists()
        return capsys.readouterr().err.splitlines()[-1]

    assert refusal("weights") == "error: 1 run to average: name two or more"
    shutil.copytree("weights", "one")
    Path("one/fold1.safetensors").unlink()
    assert refusal("one", "weights") == (
        "error: one: has networks of folds [0], weights of [0, 1]: only like runs can be averaged"
    )
    shutil.copytree("weights", "other")
    wider = NetworkSettings(decoder_channels=(24, 8, 8, 8, 8))
    network = NucleusNet(wider, pretrained=False)
    save_network(Path("other/fold0.safetensors"), network, Settings(network=wider))
    assert refusal("other", "weights") == (
        "error: other/fold0.safetensors: is built by other [network] settings than "
        "weights/fold0.safetensors: only like networks can be averaged"
    )
    swapped = "ImageId,type,group,fold\nn0,fluorescence,0,1\nn1,fluorescence,1,0\n"
    Path("one/folds.csv").write_text(swapped)
    assert refusal("one", "weights") == (
        "error: one/folds.csv: other folds than weights/folds.csv; a mean of their networks would "
        "have seen what is held out"
    )


def test_a_network_that_cannot_be_built_claims_no_folder(data, capsys):
    assert run(["train", *TWO_FOLDS, "--set", "network.encoder_name=resnet9000"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: network.encoder_name = 'resnet9000' with encoder_weights = ")
    assert not Path("runs").exists()


def call_in_a_process(*arguments: str, **options) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "kaggle_dsb", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, **options)


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


@pytest.mark.slow
def test_an_interrupted_training_says_so_and_goes_on(data):
    # So many epochs that it cannot end before it is interrupted.
    tiny = ["training.epochs=9999", "training.patience=9999", "training.crops_per_epoch=8"]
    tiny += ["augment.crop_px=64", "folds.n_folds=2"]
    overrides = [x for setting in tiny for x in ("--set", setting)]
    # A shell starts what runs in the background with Ctrl+C ignored, the test run included.
    process = call_in_a_process(
        "train",
        "--fold",
        "0",
        *overrides,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    checkpoint = Path("runs/mine/fold0/last.ckpt")
    deadline = time.monotonic() + 240
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert said.splitlines()[-1] == (
        "error: interrupted; nothing half-written is left, the same command goes on"
    )
    assert "Traceback" not in said
    assert checkpoint.exists()
    assert not list(Path("runs").rglob("*.safetensors"))


def test_the_leaderboard_ranks_each_set_of_images_apart(here, capsys):
    assert run(["leaderboard"]) == 0
    printed = capsys.readouterr().out
    assert printed.index("stage 1 test, 65 images") < printed.index("stage 2 private, 106 images")


def test_two_validations_are_compared(data, weights, capsys):
    call = ["validate", "--weights", "weights", *QUICK, "--save"]
    for name in ("a.csv", "b.csv"):
        assert run([*call, name]) == 0
    capsys.readouterr()
    assert run(["compare", "a.csv", "b.csv"]) == 0
    assert capsys.readouterr().out.startswith("b.csv cannot be told from a.csv: difference 0.000")
    lines = Path("b.csv").read_text().splitlines(keepends=True)
    Path("part.csv").write_text("".join(lines[:2]))
    assert run(["compare", "a.csv", "part.csv"]) == 2
    assert run(["compare", "a.csv", "part.csv", "--common"]) == 0
    assert capsys.readouterr().out.rstrip("\n").splitlines()[-1].split()[:2] == [
        "fluorescence",
        "1",
    ]


def test_comparing_with_a_file_that_is_not_there_is_a_mistake_of_the_call(here, capsys):
    assert run(["compare", "no.csv", "no.csv"]) == 2
    message = "error: no.csv: no such file; give a CSV of validate --save or a score.json\n"
    assert capsys.readouterr().err == message


def test_a_submission_gets_a_page_and_pictures(data, weights, capsys):
    call = ["submit", "--weights", "weights", "--name", "first", *QUICK]
    assert run(call) == 0
    assert run(["report", "first"]) == 0
    plain = Path("submissions/first/report.html").stat().st_size
    assert run([*call, "--keep-probabilities"]) == 0
    assert np.load("submissions/first/probabilities/n3.npy").shape == (3, 50, 90)
    assert run(["report", "first"]) == 0
    assert Path("submissions/first/report.html").stat().st_size > plain + 1000
    assert run(["show", "n2", "--predicted", "submissions/first"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert Path(said[-1]).read_bytes().startswith(b"\x89PNG")
    assert Path("submissions/first/report.html").read_text().startswith("<!doctype html>")


def test_help_and_version_are_there(capsys):
    assert run(["--help"]) == 0
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "0.1.0"

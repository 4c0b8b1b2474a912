import re

import pytest
from matplotlib.figure import Figure
from PIL import Image

from kaggle_dsb.commands.curves import draw_run
from kaggle_dsb.files import InputError
from kaggle_dsb.report.curves import draw_curves, read_curves

HEADER = "epoch,loss,score,learning_rate,elapsed_s\n"


def write(run, fold, *rows, is_finished=False):
    (run / f"fold{fold}").mkdir(parents=True)
    (run / f"fold{fold}" / "metrics.csv").write_text(HEADER + "".join(f"{r}\n" for r in rows))
    if is_finished:
        (run / f"fold{fold}.safetensors").touch()


def refuses(message, run):
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        read_curves(run)


def test_folds_are_read_in_the_order_of_their_numbers(tmp_path):
    for fold in (10, 2):
        write(tmp_path, fold, "0,0.9,0.1,0.001,5")
    assert [curve.fold for curve in read_curves(tmp_path)] == [2, 10]


def test_the_network_trained_on_everything_is_drawn_after_the_folds(tmp_path):
    write(tmp_path, 3, "0,0.9,0.1,0.001,5")
    (tmp_path / "fast").mkdir()
    (tmp_path / "fast" / "metrics.csv").write_text(HEADER + "0,0.8,,0.001,5\n1,0.7,,0.001,5\n")
    (tmp_path / "fast.safetensors").touch()
    curves = read_curves(tmp_path)
    assert [curve.says(epochs=2) for curve in curves] == [
        "fold 3: 1 of 2 epochs, not finished, best 0.100 after epoch 1",
        "all images: 2 of 2 epochs",
    ]
    draw_curves(tmp_path / "curves.png", curves, title="both", epochs=2)
    assert (tmp_path / "curves.png").stat().st_size > 0


def test_the_best_epoch_is_the_one_with_the_highest_score(tmp_path):
    write(tmp_path, 0, "0,0.9,,0.1,5", "1,0.8,0.5,0.1,5", "2,0.7,,0.1,5", "3,0.6,0.4,0.1,5")
    (curve,) = read_curves(tmp_path)
    assert curve.best["epoch"] == 1
    assert curve.says(epochs=6) == "fold 0: 4 of 6 epochs, not finished, best 0.500 after epoch 2"


def test_a_finished_fold_with_fewer_epochs_has_stopped_early(tmp_path):
    write(tmp_path, 0, "0,0.9,0.5,0.1,5", "1,0.8,0.4,0.1,5", is_finished=True)
    (curve,) = read_curves(tmp_path)
    assert curve.says(epochs=6) == "fold 0: 2 of 6 epochs, stopped early, best 0.500 after epoch 1"
    assert curve.says(epochs=2) == "fold 0: 2 of 2 epochs, best 0.500 after epoch 1"


def test_a_training_before_its_first_validation_has_no_best_epoch(tmp_path):
    write(tmp_path, 0, "0,0.9,,0.1,5")
    (curve,) = read_curves(tmp_path)
    assert curve.best is None
    assert curve.says(epochs=None) == "fold 0: 1 epochs, not finished"


def test_a_diverged_training_is_drawn_under_any_name(tmp_path):
    write(tmp_path, 0, "0,nan,,0.1,5", "1,inf,0.1,0.1,5")
    write(tmp_path, 1, "0,0.9,0.2,0.1,5")
    draw_curves(tmp_path / "a.png", read_curves(tmp_path), title="a$_$b", epochs=2)
    assert (tmp_path / "a.png").stat().st_size > 0


def test_what_was_not_measured_gets_no_panel(tmp_path):
    write(tmp_path / "a", 0, "0,0.9,,0.1,5")
    write(tmp_path / "b", 0, "0,0.9,0.3,0.1,5")
    widths = []
    for name in "ab":
        path = tmp_path / f"{name}.png"
        draw_curves(path, read_curves(tmp_path / name), title=name, epochs=3)
        with Image.open(path) as picture:
            widths.append(picture.width)
    assert widths == [1104, 1656]


def test_panels_share_their_epochs_and_clip_no_point(tmp_path, monkeypatch):
    write(tmp_path, 0, "0,0.9,,0.1,5", "1,0.85,0.5,0.1,5")
    drawn = []

    def keep(figure, path):
        drawn.append(figure)
        path.touch()

    monkeypatch.setattr(Figure, "savefig", keep)
    draw_curves(tmp_path / "a.png", read_curves(tmp_path), title="a", epochs=2)
    loss, score, _ = drawn[0].axes
    assert loss.get_xlim() == score.get_xlim()
    assert loss.get_ylim()[1] > 0.95


def test_a_run_is_drawn_into_its_folder(tmp_path):
    write(tmp_path, 0, "0,0.9,0.3,0.1,5", is_finished=True)
    (tmp_path / "config.toml").write_text("[training]\nepochs = 4\n")
    path, lines = draw_run(tmp_path)
    assert path == tmp_path / "curves.png"
    assert path.exists()
    assert lines == ["fold 0: 1 of 4 epochs, stopped early, best 0.300 after epoch 1"]


def test_a_folder_without_a_training_is_refused(tmp_path):
    refuses(
        f"{tmp_path}: contains no fold<N>/metrics.csv or fast/metrics.csv; expected the "
        "folder of a training run",
        tmp_path,
    )


def test_another_table_is_refused(tmp_path):
    (tmp_path / "fold0").mkdir()
    path = tmp_path / "fold0" / "metrics.csv"
    path.write_text("a,b\n1,2\n")
    columns = ["epoch", "loss", "score", "learning_rate", "elapsed_s"]
    refuses(f"{path}: has columns ['a', 'b'], must have {columns} and rows", tmp_path)

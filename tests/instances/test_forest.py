import lightgbm
import numpy as np
import pytest

from kaggle_dsb.files import InputError
from kaggle_dsb.instances.forest import load_forest, save_forest
from kaggle_dsb.instances.forest_training import train_forest

NAMES = ("a", "b", "c", "d")


def train(rows, values):
    return train_forest(rows, values, weights=np.ones(len(rows)), seed=0)


@pytest.fixture(scope="module")
def forest():
    rows = np.random.default_rng(1).random((500, 4), np.float32)
    return train(rows, (np.sin(5 * rows[:, 0]) + rows[:, 1]).astype(np.float64))


def test_a_forest_predicts_what_lightgbm_does(monkeypatch):
    fitted = []
    fit = lightgbm.train
    monkeypatch.setattr(lightgbm, "train", lambda *of: fitted.append(fit(*of)) or fitted[-1])
    rng = np.random.default_rng(1)
    rows = rng.random((500, 4), np.float32)
    values = (np.sin(5 * rows[:, 0]) + rows[:, 1]).astype(np.float64)
    forest = train(rows, values)
    other = rng.random((300, 4), np.float32)
    expected = fitted[0].predict(other.astype(np.float64))
    assert forest.predict(other) == pytest.approx(expected, abs=1e-5)
    assert np.std(forest.predict(other)) > 0.1


def test_a_forest_comes_back_from_its_file(forest, tmp_path):
    path = tmp_path / "scorer0.safetensors"
    save_forest(path, forest, names=NAMES)
    loaded = load_forest(path, names=NAMES)
    rows = np.random.default_rng(2).random((50, 4), np.float32)
    assert (loaded.predict(rows) == forest.predict(rows)).all()


@pytest.mark.parametrize("names", [NAMES[1:], NAMES[::-1]])
def test_a_forest_of_other_features_is_refused(forest, tmp_path, names):
    path = tmp_path / "scorer0.safetensors"
    save_forest(path, forest, names=NAMES)
    with pytest.raises(InputError) as error:
        load_forest(path, names=names)
    assert str(error.value) == (
        f"{path}: was trained on other candidate features than this version computes; train it "
        "again with `kaggle-dsb tune`"
    )


@pytest.mark.parametrize("content", [b"", b"no forest"])
def test_a_damaged_forest_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "scorer0.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        load_forest(path, names=NAMES)
    assert str(error.value).startswith(f"{path}: cannot be read as a forest (")
    assert str(error.value).endswith("); train it again with `kaggle-dsb tune`")
    assert "\n" not in str(error.value)


def test_no_rows_give_no_predictions(forest):
    assert forest.predict(np.zeros((0, 4), np.float32)).shape == (0,)

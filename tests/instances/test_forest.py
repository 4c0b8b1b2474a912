import lightgbm
import numpy as np
import pytest

from kaggle_dsb.instances.forest_training import train_forest


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


def test_no_rows_give_no_predictions(forest):
    assert forest.predict(np.zeros((0, 4), np.float32)).shape == (0,)

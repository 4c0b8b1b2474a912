from dataclasses import replace

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


def test_a_trained_forest_is_a_forest(forest):
    forest.check(4)


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("feature", lambda a: np.where(a == 1, 7, a), "its trees are not trees"),
        ("left", lambda a: a * 0, "its trees are not trees"),
        ("right", lambda a: a + a.size, "its trees are not trees"),
        ("start", lambda a: a - 1, "its trees are not trees"),
        ("value", lambda a: a * np.nan, "its trees are not trees"),
        ("threshold", lambda a: a[1:], "the arrays of its trees differ in length"),
        ("base", lambda a: a[:0], "the arrays of its trees differ in length"),
    ],
)
def test_arrays_that_are_no_forest_are_refused(forest, name, spoil, message):
    spoilt = replace(forest, **{name: spoil(getattr(forest, name))})
    with pytest.raises(ValueError, match=message):
        spoilt.check(4)

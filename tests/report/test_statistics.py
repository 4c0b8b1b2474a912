import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kaggle_dsb.files import InputError
from kaggle_dsb.report.statistics import N_RESAMPLES, bootstrap_mean, compare_scores

SCORES = hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 1))


def series(values):
    return pd.Series(values, index=[f"image{n}" for n in range(len(values))])


def naive_bootstrap(values, seed):
    random = np.random.default_rng(seed)
    picks = random.integers(0, len(values), (N_RESAMPLES, len(values)))
    return np.percentile(values[picks].mean(axis=1), [2.5, 97.5])


@given(SCORES)
@settings(max_examples=20, deadline=None)
def test_the_interval_lies_within_the_values_and_around_their_mean(values):
    interval = bootstrap_mean(values)
    slack = 1e-9
    assert values.min() - slack <= interval.low <= interval.mean + slack
    assert interval.mean - slack <= interval.high <= values.max() + slack
    assert interval.mean == values.mean()


def test_the_interval_is_that_of_the_plain_bootstrap():
    values = np.random.default_rng(1).beta(4, 3, 200)
    interval = bootstrap_mean(values)
    assert [interval.low, interval.high] == pytest.approx(naive_bootstrap(values, 5), abs=0.003)


def test_the_same_seed_gives_the_same_interval():
    values = np.linspace(0, 1, 40)
    assert bootstrap_mean(values, seed=3) == bootstrap_mean(values, seed=3)
    assert bootstrap_mean(values, seed=3) != bootstrap_mean(values, seed=4)


def test_a_mean_needs_a_value():
    message = "no values to average; at least one image is needed"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        bootstrap_mean(np.array([]))


def test_a_small_gain_on_every_image_is_told_from_noise():
    scores = np.random.default_rng(0).uniform(0, 1, 100)
    result = compare_scores(series(scores), series(scores + 0.01))
    assert result.verdict == "better"
    assert result.difference.mean == pytest.approx(0.01)
    assert (result.share_better, result.share_worse) == (1, 0)
    assert result.sentence("old", "new") == (
        "new is better than old by 0.010, 95 % CI 0.010 to 0.010, better on 100 % of 100 images"
    )


def test_a_loss_is_told_with_positive_numbers():
    scores = np.random.default_rng(0).uniform(0, 1, 100)
    result = compare_scores(series(scores + 0.01), series(scores))
    assert result.sentence() == (
        "B is worse than A by 0.010, 95 % CI 0.010 to 0.010, better on 0 % of 100 images"
    )


def test_five_images_prove_nothing():
    five, six = (compare_scores(series(np.full(n, 0.5)), series(np.full(n, 0.6))) for n in (5, 6))
    assert (five.verdict, six.verdict) == ("undecided", "better")
    one = compare_scores(series([0.5]), series([0.6]))
    assert one.sentence().endswith("better on 100 % of 1 image")


def test_noise_is_not_taken_for_progress():
    random = np.random.default_rng(0)
    scores = random.uniform(0, 1, 100)
    noise = random.normal(0, 0.05, 100)
    result = compare_scores(series(scores), series(scores + noise - noise.mean() + 0.001))
    assert result.verdict == "undecided"
    assert result.sentence().startswith(
        "B does not differ significantly from A: difference 0.001, 95 % CI -0.0"
    )


def test_the_order_of_the_images_does_not_matter():
    a, b = series(np.linspace(0, 1, 20)), series(np.linspace(0.1, 0.9, 20))
    assert compare_scores(a, b) == compare_scores(a, b.iloc[::-1])


def test_two_copies_of_a_run_differ_in_nothing():
    a = series(np.linspace(0, 1, 20))
    result = compare_scores(a, a)
    assert (result.difference.low, result.difference.high) == (0, 0)
    assert (result.share_better, result.share_worse) == (0, 0)


def test_runs_on_different_images_cannot_be_compared():
    message = (
        "the runs scored different images: 1 of 3 are in only one of them (image2); score "
        "both on the same images"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        compare_scores(series([0.1, 0.2]), series([0.1, 0.2, 0.3]))

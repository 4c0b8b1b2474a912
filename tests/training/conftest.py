"""Small samples and folds to train on."""

import pandas as pd
import pytest

from kaggle_dsb.dataset.demo import make_image
from kaggle_dsb.dataset.samples import Sample
from kaggle_dsb.training.sources import FoldData, LabelledSource


@pytest.fixture(scope="session")
def samples():
    made = [make_image(look, look=look) for look in (0, 1, 4, 7)]
    return [Sample(f"i{n}", i[:96, :96], x[:96, :96]) for n, (i, x) in enumerate(made)]


@pytest.fixture(scope="session")
def main_source(samples):
    return LabelledSource("dsb2018", samples)


@pytest.fixture(scope="session")
def folds():
    return pd.DataFrame(
        {
            "ImageId": ["i0", "i1", "i2", "i3"],
            "source": "dsb2018",
            "type": ["fluorescence", "fluorescence", "tissue", "brightfield"],
            "group": [0, 1, 2, 3],
            "fold": [0, 1, 1, 1],
        }
    )


@pytest.fixture(scope="session")
def data(samples):
    return FoldData(samples[1:], [0.62, 0.3, 0.08], samples[:1])

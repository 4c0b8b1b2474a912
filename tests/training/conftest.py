"""Small samples and folds to train on."""

import pandas as pd
import pytest

from kaggle_dsb.training.sources import LabelledSource
from tests.training.tiny import make_data, make_samples


@pytest.fixture(scope="session")
def samples():
    return make_samples()


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
def data():
    return make_data()

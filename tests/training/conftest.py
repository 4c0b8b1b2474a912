"""Small samples and folds to train on."""

import pandas as pd
import pytest

from kaggle_dsb.dataset.demo import make_image
from kaggle_dsb.dataset.samples import Sample


@pytest.fixture(scope="session")
def samples():
    made = [make_image(look, look=look) for look in (0, 1, 4, 7)]
    return [Sample(f"i{n}", i[:96, :96], x[:96, :96]) for n, (i, x) in enumerate(made)]


@pytest.fixture(scope="session")
def folds():
    return pd.DataFrame(
        {
            "ImageId": ["i0", "i1", "i2", "i3"],
            "type": ["fluorescence", "fluorescence", "tissue", "brightfield"],
            "group": [0, 1, 2, 3],
            "fold": [0, 1, 1, 1],
        }
    )

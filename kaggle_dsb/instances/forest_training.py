"""Train the forests of `kaggle_dsb.instances.forest` with LightGBM."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kaggle_dsb.instances.forest import Forest

if TYPE_CHECKING:
    import lightgbm


N_TREES = 300


def train_forest(
    features: NDArray[np.float32],
    values: NDArray[np.float64],
    *,
    weights: NDArray[np.float64],
    seed: int,
) -> Forest:
    """Train a forest on rows of features.

    Parameters
    ----------
    features : (n, n_features) float32
    values : (n,) float64
        The target of each row.
    weights : (n,) float64
        The weight of each row.
    seed : int
        The same seed gives the same forest, on any number of cores.
    """
    options = {
        "objective": "regression",
        "learning_rate": 0.04,
        "num_leaves": 31,
        "feature_fraction_bynode": 0.5,
        "min_data_in_leaf": 40,
        "lambda_l2": 1.0,
        "deterministic": True,
        "force_row_wise": True,
        "seed": seed,
        "verbosity": -1,
    }
    import lightgbm

    data = lightgbm.Dataset(features.astype(np.float64), values, weight=weights)
    return flatten_booster(lightgbm.train(options, data, N_TREES))


def flatten_booster(booster: "lightgbm.Booster") -> Forest:
    """Convert a fitted LightGBM model to a `Forest`."""
    nodes = booster.trees_to_dataframe()
    row_of = pd.Series(np.arange(len(nodes)), nodes["node_index"])
    column_of = {name: column for column, name in enumerate(booster.feature_name())}
    children = (nodes[side].map(row_of) for side in ("left_child", "right_child"))
    left, right = (child.fillna(0).to_numpy(np.int32) for child in children)
    return Forest(
        feature=nodes["split_feature"].map(column_of).fillna(-1).to_numpy().astype(np.int16),
        threshold=pd.to_numeric(nodes["threshold"]).fillna(0).to_numpy(np.float64),
        left=left,
        right=right,
        value=nodes["value"].to_numpy(np.float32),
        start=np.flatnonzero(nodes["node_depth"] == 1).astype(np.int32),
        # LightGBM adds the mean of the targets to the first tree.
        base=np.zeros(1, np.float32),
    )

"""Train the forests that `kaggle_dsb.instances.forest` predicts with."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from kaggle_dsb.instances.forest import Forest


@dataclass(frozen=True)
class ForestParameters:
    """What a forest is trained with.

    Attributes
    ----------
    n_trees : int
    learning_rate : float
        How much of its error each tree corrects.
    max_leaves : int
        Of a tree.
    feature_share : float
        Of the features, those that each split may ask for.
    """

    n_trees: int
    learning_rate: float
    max_leaves: int
    feature_share: float


def train_forest(
    features: NDArray[np.float32],
    values: NDArray[np.float64],
    *,
    weights: NDArray[np.float64],
    parameters: ForestParameters,
    seed: int,
) -> Forest:
    """Train a forest on rows of features.

    Parameters
    ----------
    features : (n, n_features) float32
    values : (n,) float64
        What to predict of each row.
    weights : (n,) float64
        How much each row counts.
    parameters : ForestParameters
    seed : int
    """
    model = HistGradientBoostingRegressor(
        max_iter=parameters.n_trees,
        learning_rate=parameters.learning_rate,
        max_leaf_nodes=parameters.max_leaves,
        max_features=parameters.feature_share,
        min_samples_leaf=40,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=seed,
    )
    model.fit(features, values, sample_weight=weights)
    return _flatten(model)


def _flatten(model: HistGradientBoostingRegressor) -> Forest:
    """Lay a fitted model's trees one after the other."""
    trees = [tree.nodes for (tree,) in model._predictors]
    start = np.cumsum([0, *map(len, trees)])[:-1]
    nodes = np.concatenate(trees)
    offset = np.repeat(start, [len(tree) for tree in trees])
    is_leaf = nodes["is_leaf"].astype(bool)
    return Forest(
        feature=np.where(is_leaf, -1, nodes["feature_idx"]).astype(np.int16),
        threshold=nodes["num_threshold"].astype(np.float64),
        left=(nodes["left"] + offset).astype(np.int32),
        right=(nodes["right"] + offset).astype(np.int32),
        value=nodes["value"].astype(np.float32),
        start=start.astype(np.int32),
        base=np.ravel(model._baseline_prediction).astype(np.float32),
    )

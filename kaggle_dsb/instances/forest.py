"""A gradient-boosted forest as plain arrays.

scikit-learn grows it; it predicts without scikit-learn, so that a file of it outlives the version
that made it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from sklearn.ensemble import HistGradientBoostingRegressor

from kaggle_dsb.files import InputError, replacing


@dataclass(frozen=True)
class Forest:
    """Regression trees whose outputs are added.

    Attributes
    ----------
    feature : (n_nodes,) int16
        What a node asks; -1 for a leaf.
    threshold : (n_nodes,) float64
        Up to it the answer is left.
    left, right : (n_nodes,) int32
        The next node.
    value : (n_nodes,) float32
        What a leaf adds.
    start : (n_trees,) int32
        The first node of each tree.
    base : (1,) float32
        What all trees are added to.
    """

    feature: NDArray[np.int16]
    threshold: NDArray[np.float64]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float32]
    start: NDArray[np.int32]
    base: NDArray[np.float32]

    def predict(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Give the sum over the trees for rows of features, (n,) float64."""
        total = np.full(len(features), float(self.base[0]))
        rows = np.arange(len(features))[:, None]
        at = np.tile(self.start, (len(features), 1))
        while (inner := self.feature[at] >= 0).any():
            answer = features[rows, self.feature[at]] <= self.threshold[at]
            at = np.where(inner, np.where(answer, self.left[at], self.right[at]), at)
        total += self.value[at].sum(axis=1, dtype=np.float64)
        return total


@dataclass(frozen=True)
class Growth:
    """How a forest is grown.

    Attributes
    ----------
    trees : int
    rate : float
        How much of its error each tree corrects.
    leaves : int
        Of a tree, at most.
    feature_share : float
        Of the features, those that each split may ask for.
    """

    trees: int
    rate: float
    leaves: int
    feature_share: float


def save_forests(
    path: Path, forests: Mapping[str, Forest], *, names: Mapping[str, Sequence[str]]
) -> None:
    """Keep forests in one file, each with the names of the features it was trained on."""
    arrays = {
        f"{key}.{one.name}": getattr(forest, one.name)
        for key, forest in forests.items()
        for one in fields(forest)
    }
    with replacing(path) as temporary:
        save_file(arrays, temporary, metadata={key: " ".join(names[key]) for key in forests})


def load_forests(path: Path, *, names: Mapping[str, Sequence[str]]) -> dict[str, Forest]:
    """Load the forests that :func:`save_forests` kept.

    Raises
    ------
    InputError
        When one cannot be read, or was trained on other features than those of these ``names``.
    """
    try:
        with safe_open(path, "numpy") as file:
            its_names = file.metadata() or {}
            stale = any(its_names.get(key, "").split() != list(names[key]) for key in names)
            forests = {} if stale else {key: _read_forest(file, key) for key in names}
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{path}: is no readable forest ({error}); make it again with `kaggle-dsb tune`"
        ) from None
    if stale:
        raise InputError(
            f"{path}: was trained on other features of candidates than this version describes; "
            "make it again with `kaggle-dsb tune`"
        )
    return forests


def _read_forest(file: Any, key: str) -> Forest:
    return Forest(**{one.name: file.get_tensor(f"{key}.{one.name}") for one in fields(Forest)})


def grow_forest(
    features: NDArray[np.float32],
    values: NDArray[np.float64],
    *,
    weights: NDArray[np.float64],
    growth: Growth,
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
    growth : Growth
    seed : int
    """
    model = HistGradientBoostingRegressor(
        max_iter=growth.trees,
        learning_rate=growth.rate,
        max_leaf_nodes=growth.leaves,
        max_features=growth.feature_share,
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

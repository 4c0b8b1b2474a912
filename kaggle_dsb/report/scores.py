"""Read the scores of images as a table, from any file that holds them, and summarise them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kaggle_dsb.competition.metric import THRESHOLDS_PERCENT, ImageScore
from kaggle_dsb.files import InputError, read_json
from kaggle_dsb.report.statistics import bootstrap_mean
from kaggle_dsb.workspace.submission import SubmissionFolder

HITS = [f"hits_{percent}" for percent in THRESHOLDS_PERCENT]
SCORE_COLUMNS = ["score", "type", "fold", "n_true", "n_predicted", *HITS]


def read_scores(path: Path) -> pd.DataFrame:
    """Read the scores of all images.

    Parameters
    ----------
    path : Path
        The CSV of ``kaggle-dsb validate --save``, a submission's ``score.json``, or the folder
        with the latter.

    Returns
    -------
    DataFrame
        Indexed by ``ImageId``, of a foreign source by ``source/ImageId``; ``score, type, fold,
        n_true, n_predicted, hits_50 ... hits_95``. ``fold`` is missing (NA) in a submission.

    Raises
    ------
    InputError
        When the file is missing, is neither, repeats an image, or lacks a score.
    """
    if path.is_dir():
        path = SubmissionFolder(path).score_file
    if not path.exists():
        raise InputError(
            f"{path}: no such file; expected a CSV from `validate --save` or a score.json"
        )
    is_json = path.suffix == ".json"
    scores = _read_json(path) if is_json else read_columns(path, SCORE_COLUMNS)
    repeated = scores.index[scores.index.duplicated()]
    if len(repeated):
        raise InputError(f"{path}: lists image {repeated[0]} twice, must list each once")
    if scores["score"].isna().any():
        raise InputError(f"{path}: image {scores['score'].isna().idxmax()} has no score")
    return scores


def read_columns(path: Path, columns: list[str]) -> pd.DataFrame:
    """Read columns of a CSV of ``kaggle-dsb validate --save``, indexed as by `read_scores`.

    Raises
    ------
    InputError
        When the file cannot be read, or lacks one of the columns.
    """
    try:
        # An image or a source may be named NA.
        names = {"ImageId": str, "source": str}
        table = pd.read_csv(path, dtype=names, keep_default_na=False, na_values="")
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read as a table of scores ({reason})") from error
    missing = [name for name in ("ImageId", *columns) if name not in table.columns]
    if missing:
        raise InputError(
            f"{path}: has no column {missing[0]}; expected a table written by `validate --save`"
        )
    if {"source", "kind"} <= set(table.columns):  # ids of a foreign source, which is no kind
        is_foreign = table["source"] != table["kind"]
        table.loc[is_foreign, "ImageId"] = table["source"] + "/" + table["ImageId"]
    elif "source" in table.columns:  # two sources may use the same id
        is_shared = table["ImageId"].duplicated(keep=False)
        table.loc[is_shared, "ImageId"] = table["source"] + "/" + table["ImageId"]
    for name in {*columns} & {*SCORE_COLUMNS} - {"type"}:
        values = pd.to_numeric(table[name], errors="coerce")
        wrong = values.isna() & table[name].notna()
        if wrong.any():
            row = int(wrong.argmax())
            raise InputError(
                f"{path}: image {table['ImageId'][row]} has {name} {table[name][row]!r}, must be a "
                "number"
            )
        table[name] = values
    return table.set_index("ImageId")[columns]


def _read_json(path: Path) -> pd.DataFrame:
    content = read_json(path)
    try:
        images: dict[str, Any] = content["images"]
        rows = {
            id_: [i["score"], i["type"], None, i["n_true"], i["n_predicted"], *i["hits"]]
            for id_, i in images.items()
        }
        table = pd.DataFrame.from_dict(rows, orient="index", columns=SCORE_COLUMNS)
    except (AttributeError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: is not a score.json; expected one of a submission, or of `score --json`"
        ) from error
    return table.rename_axis("ImageId")


def precision_table(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the precision of each image (rows) at each threshold (columns, in percent)."""
    rows = [
        ImageScore(int(n_true), int(n_predicted), tuple(map(int, hits))).precision
        for n_true, n_predicted, *hits in scores[["n_true", "n_predicted", *HITS]].to_numpy()
    ]
    return pd.DataFrame(rows, index=scores.index, columns=list(THRESHOLDS_PERCENT))


def summarise_groups(scores: pd.DataFrame, by: str) -> pd.DataFrame:
    """Return the mean score of each fold or type, with its 95 % interval.

    Parameters
    ----------
    scores : DataFrame
        As returned by `read_scores`.
    by : str
        ``fold`` or ``type``.

    Returns
    -------
    DataFrame
        Indexed by fold or type; ``images, score, low, high, median, sd``.
    """
    rows = {}
    for name, group in scores.groupby(by):
        values = group["score"].to_numpy(np.float64)
        mean = bootstrap_mean(values)
        spread = [float(np.median(values)), float(values.std())]
        rows[name] = [len(values), mean.mean, mean.low, mean.high, *spread]
    columns = ["images", "score", "low", "high", "median", "sd"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis(by)


def describe_score(scores: pd.DataFrame) -> str:
    """Describe the mean score, its 95 % interval and the spread over folds in one line."""
    mean = bootstrap_mean(scores["score"].to_numpy(np.float64))
    said = f"{mean.mean:.4f}, 95 % CI {mean.low:.3f} to {mean.high:.3f}, over {len(scores)} images"
    if scores["fold"].isna().all():
        return said
    folds = scores.groupby("fold")["score"].mean()
    return f"{said}; folds from {folds.min():.3f} to {folds.max():.3f}, sd {folds.std(ddof=0):.3f}"


def tabulate(scores: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return tables of the scores by fold, by image type and by threshold, by title.

    Parameters
    ----------
    scores : DataFrame
        As returned by `read_scores`.
    """
    tables = {
        f"by {name}": summarise_groups(scores, by)
        for by, name in (("fold", "fold"), ("type", "image type"))
        if scores[by].notna().any()
    }
    precision = precision_table(scores)
    columns = {"all": precision.mean()} | {
        str(kind): precision[(scores["type"] == kind).to_numpy()].mean()
        for kind in sorted(scores["type"].dropna().unique())
    }
    thresholds = pd.DataFrame(columns)
    thresholds.index = pd.Index([f"{t / 100:.2f}" for t in THRESHOLDS_PERCENT], name="IoU above")
    return tables | {"mean precision by IoU threshold": thresholds}


def to_records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as JSON types, each with its index; NaN becomes None."""
    records: list[dict[str, Any]] = json.loads(table.reset_index().to_json(orient="records"))
    return records

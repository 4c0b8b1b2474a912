"""Compare a variation with a baseline on the same images, and log the result."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from kaggle_dsb.commands.train import train_run
from kaggle_dsb.commands.validate import validate_sources
from kaggle_dsb.config import Settings
from kaggle_dsb.dataset.folds import hold_out_alike, read_folds, write_folds
from kaggle_dsb.dataset.samples import COMPETITION_SOURCE
from kaggle_dsb.files import InputError, replacing
from kaggle_dsb.network.engines import choose_engine
from kaggle_dsb.report.curves import read_metrics
from kaggle_dsb.report.statistics import Comparison, compare_scores
from kaggle_dsb.settings_files import load_settings
from kaggle_dsb.workspace.run import Run, differing_settings, find_run, open_run
from kaggle_dsb.workspace.source import Source

TRAINED_SECTIONS = ("network", "augment", "training")
USED_SECTIONS = (*TRAINED_SECTIONS, "prediction", "instances")
TITLE = "## Trials"
LOG_HEADER = (
    "| date | tried | images | before | after | difference, 95 % | by type | cost | kept |",
    "|---|---|---|---|---|---|---|---|---|",
)


@dataclass(frozen=True)
class Variation:
    """A variation of the settings to try.

    Attributes
    ----------
    folder : Path
        The variation's run; an interrupted trial is resumed.
    overrides : sequence of str
        The changes to the baseline, ``section.key=value``. If none affects training, the baseline's
        networks are used, and only prediction or post-processing is repeated.
    common : sequence of str
        Changes for the baseline as well, such as ``prediction.tta=none`` for a quick trial.
    folds : sequence of int
        The folds to train and compare; a subset makes a quick trial.
    """

    folder: Path
    overrides: Sequence[str]
    common: Sequence[str]
    folds: Sequence[int]

    def __str__(self) -> str:
        return " ".join(self.overrides) + (
            f" (both {' '.join(self.common)})" if self.common else ""
        )


@dataclass(frozen=True)
class Trial:
    """The result of a variation compared with its baseline.

    Attributes
    ----------
    tried : str
        The changes, as ``section.key=value``.
    comparison : Comparison
        Over all images, from baseline to variation.
    by_type : dict of str to Comparison
    cost_s : float
        The time of training the variation, also before interruptions, and of predicting with it.
    """

    tried: str
    comparison: Comparison
    by_type: dict[str, Comparison]
    cost_s: float

    def row(self, *, today: str) -> str:
        """Return the row of the log; only a significantly better variation counts as kept."""
        all_images = self.comparison
        gain = all_images.difference
        types = ", ".join(f"{k} {v.mean_a:.3f} → {v.mean_b:.3f}" for k, v in self.by_type.items())
        kept = "yes" if all_images.verdict == "better" else f"no: {all_images.verdict}"
        cells = [
            today,
            self.tried,
            str(all_images.n_images),
            f"{all_images.mean_a:.4f}",
            f"{all_images.mean_b:.4f}",
            f"{gain.low:+.4f} to {gain.high:+.4f}",
            types,
            f"{self.cost_s / 60:.0f} min",
            kept,
        ]
        return f"| {' | '.join(cells)} |"


def try_variation(
    source: Source,
    baseline: Run,
    variation: Variation,
    *,
    work: Path,
    extra: Sequence[Source] = (),
) -> Trial:
    """Train and score a variation of a run, and compare it with the run.

    Parameters
    ----------
    source : Source
        The training images.
    baseline : Run
        The run to compare with; the variation starts from its settings and uses its folds.
    variation : Variation
    work : Path
        The folder of cached probabilities.
    extra : sequence of Source
        The other sources that the baseline was trained on.

    Raises
    ------
    InputError
        When nothing differs, ``common`` changes training settings, the baseline lacks a fold, an
        earlier trial in the folder has other folds, or the baseline was trained on other sources
        and the variation does not start from trained networks.
    """
    own, varied = _load_both(baseline, variation)
    _require_folds(baseline, variation.folds)
    is_trained = _differ(own, varied, TRAINED_SECTIONS)
    if is_trained:
        _require_same_folds(baseline, variation)
    if is_trained and varied.training.start_from is None:
        _require_same_sources(baseline, source, extra)
    # A scorer only fits the probabilities it was trained on: both are compared without one.
    if is_trained or _differ(own, varied, ["prediction"]):
        own, varied = _without_scorer(own), _without_scorer(varied)
    # A new network has no INT8 ranges yet: both are computed in floating point.
    if is_trained:
        own = _in_floating_point(own)
    compared = [other for other in extra if _has_images_in(baseline, other, variation.folds)]
    # The baseline comes first: if it cannot be scored, training would be wasted.
    chosen = baseline.select(variation.folds)
    baseline_scores = validate_sources(source, compared, chosen, own, work=work).scores
    cost_s = 0.0
    if is_trained:
        _train_variation([source, *extra], baseline, varied, variation)
        chosen = find_run(variation.folder).select(variation.folds)
        varied = _in_floating_point(varied)
        cost_s = _sum_training_times(chosen, variation.folds)
    started = time.monotonic()
    scores = validate_sources(source, compared, chosen, varied, work=work).scores
    cost_s += time.monotonic() - started
    return _compare_scores(str(variation), baseline_scores, scores, cost_s=cost_s)


def _load_both(baseline: Run, variation: Variation) -> tuple[Settings, Settings]:
    """Return the settings of the baseline and of the variation."""
    path, common = baseline.settings_file, variation.common
    own = load_settings(path, overrides=common)
    if _differ(load_settings(path), own, TRAINED_SECTIONS):
        raise InputError(
            f"--both {' '.join(common)}: {baseline.folder} is already trained; pass training "
            "settings of the variation with --set"
        )
    varied = load_settings(path, overrides=[*common, *variation.overrides])
    for key, _, wanted in differing_settings(own, varied, ["folds"]):
        raise InputError(f"{key} = {wanted!r}: a variation has the folds of {baseline.folder}")
    if not _differ(own, varied, USED_SECTIONS):
        raise InputError(
            f"{baseline.folder}: the variation has the same settings in "
            f"{', '.join(USED_SECTIONS)}; change one with --set"
        )
    return own, varied


def _require_folds(baseline: Run, folds: Sequence[int]) -> None:
    lacking = sorted(set(folds) - set(baseline.networks))
    if lacking:
        raise InputError(
            f"{baseline.folder}: has no network for fold {lacking[0]}; available: "
            f"{', '.join(map(str, baseline.networks))}"
        )


def _require_same_folds(baseline: Run, variation: Variation) -> None:
    """Check that an earlier trial of this name has the folds of the baseline."""
    path = open_run(variation.folder).folds_file
    if path.exists() and not hold_out_alike(read_folds(path), read_folds(baseline.folds_file)):
        raise InputError(
            f"{path}: its folds differ from {baseline.folds_file}; choose another NAME, or remove "
            "the folder"
        )


def _require_same_sources(baseline: Run, source: Source, extra: Sequence[Source]) -> None:
    """Check that the variation is trained on the same sources as the baseline."""
    trained = set(read_folds(baseline.folds_file)["source"])
    main = source.dataset_name if source.dataset_name in trained else COMPETITION_SOURCE
    named = {other.dataset_name for other in extra}
    for name in sorted(trained - {main, *named}):
        raise InputError(f"{baseline.folder}: was also trained on {name}; pass it with --extra")
    for name in sorted(named - trained):
        raise InputError(f"--extra {name}: {baseline.folder} was not trained on it")


def _has_images_in(baseline: Run, source: Source, folds: Sequence[int]) -> bool:
    """Return whether the compared networks can be scored on a source."""
    table = read_folds(baseline.folds_file)
    own = table[table["source"] == source.dataset_name]
    return own.empty or bool(own["fold"].isin(folds).any())


def _differ(first: Settings, second: Settings, sections: Sequence[str]) -> bool:
    return any(differing_settings(first, second, sections))


def _without_scorer(settings: Settings) -> Settings:
    instances = settings.instances.model_copy(update={"candidate_scorer": False})
    return settings.model_copy(update={"instances": instances})


def _in_floating_point(settings: Settings) -> Settings:
    if settings.hardware.precision != "auto":
        return settings
    precision = choose_engine(settings.hardware).precision
    hardware = settings.hardware.model_copy(update={"precision": precision})
    return settings.model_copy(update={"hardware": hardware})


def _train_variation(
    sources: Sequence[Source], baseline: Run, settings: Settings, variation: Variation
) -> None:
    source, *extra = sources
    folds_file = open_run(variation.folder).folds_file
    if not folds_file.exists():
        write_folds(folds_file, read_folds(baseline.folds_file))
    train_run(source, settings, folder=variation.folder, folds=variation.folds, extra=extra)


def _sum_training_times(run: Run, folds: Sequence[int]) -> float:
    """Return the seconds that the epochs of these folds took, whenever they were trained."""
    metrics = [path for fold, path in run.list_metrics().items() if fold in folds]
    return float(sum(read_metrics(path)["elapsed_s"].sum() for path in metrics))


def _compare_scores(
    tried: str, baseline: pd.DataFrame, variation: pd.DataFrame, *, cost_s: float
) -> Trial:
    baseline, variation = (
        scores.set_index(scores["source"] + "/" + scores["ImageId"])
        for scores in (baseline, variation)
    )
    a, b, type_of = baseline["score"], variation["score"], baseline["type"]
    overall = compare_scores(a, b)
    by_type = {
        str(kind): compare_scores(a[ids.index], b[ids.index])
        for kind, ids in type_of.groupby(type_of)
    }
    return Trial(tried, overall, by_type, cost_s)


def append_trial(log: Path, trial: Trial) -> None:
    """Append the row of a trial to the log's table of trials, which is created if missing.

    Parameters
    ----------
    log : Path
        A Markdown file, such as ``docs/experiments.md``.
    """
    today = datetime.now(UTC).date().isoformat()
    text = log.read_text(encoding="utf-8") if log.exists() else "# Experiments\n"
    lines = text.rstrip("\n").split("\n")
    if TITLE not in lines:
        lines += ["", TITLE]
    begin = lines.index(TITLE) + 1
    end = next((n for n in range(begin, len(lines)) if lines[n].startswith("## ")), len(lines))
    rows = [n for n in range(begin, end) if lines[n].startswith("|")]
    if rows:
        lines.insert(rows[-1] + 1, trial.row(today=today))
    else:
        lines[begin:begin] = ["", *LOG_HEADER, trial.row(today=today)]
    with replacing(log) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")

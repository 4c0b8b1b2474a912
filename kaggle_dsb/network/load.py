"""Load the networks and the candidate scorers of a run for prediction."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from kaggle_dsb import __version__
from kaggle_dsb.config import Settings
from kaggle_dsb.files import InputError, digest_of
from kaggle_dsb.instances.finder import NucleusFinder
from kaggle_dsb.instances.outline_rule import OutlineRule, read_known
from kaggle_dsb.instances.scorer import load_scorer
from kaggle_dsb.instances.watershed import WatershedParameters
from kaggle_dsb.network.engines import choose_engine, load_engine
from kaggle_dsb.network.predict import Predictor, prediction_facts
from kaggle_dsb.network.weights import ranges_file
from kaggle_dsb.workspace.run import Run


def load_predictor(run: Run, settings: Settings, *, folds: Sequence[int]) -> Predictor:
    """Load the networks of the given folds as one predictor, which combines them."""
    networks, sizing = [run.networks[fold] for fold in folds], run.sizing_network(folds)
    choice = choose_engine(settings.hardware, [*networks, sizing])
    threads = settings.hardware.threads
    engine = load_engine(choice, networks, tta=settings.prediction.tta, threads=threads)
    needs_no_other = sizing == networks[0] or settings.prediction.diameter_px
    return Predictor(
        engine,
        settings.prediction,
        nucleus_px=settings.network.nucleus_px,
        sizing=None
        if needs_no_other
        else load_engine(choice, [sizing], tta="none", threads=threads),
    )


def prediction_key(run: Run, settings: Settings, *, folds: Sequence[int]) -> str:
    """Return a hash of everything that determines the probabilities of `load_predictor`.

    That is the hashes of the networks and of their ranges, the settings and constants of
    prediction, and the engine with its version, precision and device.
    """
    networks, sizing = [run.networks[fold] for fold in folds], run.sizing_network(folds)
    engine = choose_engine(settings.hardware, [*networks, sizing])
    n_scales = len(settings.prediction.scales)
    facts = {
        "networks": [digest_of(path) for path in networks],
        **({} if sizing == networks[0] else {"sizing": digest_of(sizing)}),
        **({"ranges": _digest_ranges([*networks, sizing])} if engine.is_quantized else {}),
        "engine": asdict(engine),
        **({"largest_scale": "half the networks"} if len(networks) > 1 < n_scales else {}),
        **prediction_facts(settings.prediction, settings.network.nucleus_px),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _digest_ranges(networks: Iterable[Path]) -> list[str]:
    files = (ranges_file(path) for path in networks)
    return [digest_of(file) for file in files if file.exists()]


def submission_key(run: Run, settings: Settings, images: Iterable[Path]) -> str:
    """Return a hash of everything that determines the nuclei found in images.

    That is the `prediction_key`, the instance settings, the candidate scorers, the version of the
    package, and the content of the image files.
    """
    facts = [
        __version__,
        prediction_key(run, settings, folds=list(run.networks)),
        settings.instances.model_dump(mode="json"),
        [digest_of(path) for path in run.files_of_finder()],
        [digest_of(path) for path in images],
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def load_finder(run: Run, settings: Settings, *, folds: Sequence[int]) -> NucleusFinder:
    """Load the candidate scorers of the given folds, if there are any; they are averaged.

    Only known outlines of images that the networks of these folds were trained on are used.
    """
    instances = settings.instances
    wanted = folds if instances.candidate_scorer and run.scorers else []
    missing = [fold for fold in wanted if fold not in run.scorers]
    if missing:
        raise InputError(
            f"{run.folder}: fold {missing[0]} has no candidate scorer, unlike other folds; train "
            "it with `kaggle-dsb tune`, or disable scorers with --set "
            "instances.candidate_scorer=false"
        )
    return NucleusFinder(
        WatershedParameters(**instances.watershed()),
        [load_scorer(run.scorers[fold]) for fold in wanted],
        outline_rule(run, settings, folds=folds),
    )


def outline_rule(run: Run, settings: Settings, *, folds: Sequence[int]) -> OutlineRule:
    """Return the outline rule for the networks of the given folds."""
    path, instances = run.outlines_file, settings.instances
    return OutlineRule(
        instances.outline_threshold,
        instances.glow_threshold,
        read_known(path).without(run.unseen_fold(folds)) if path.exists() else None,
    )

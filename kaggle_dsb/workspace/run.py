"""The networks of one training, one a fold, as they lie in a folder."""

import csv
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kaggle_dsb.config import Settings, load_settings, parse_settings
from kaggle_dsb.files import InputError, digest_of, read_json, require_folder, write_json
from kaggle_dsb.workspace import RUNS

BUNDLED = Path(__file__).resolve().parents[1] / "weights"

NETWORK = "fold"
SCORER = "scorer"
SUFFIX = ".safetensors"
FAST_FILE = "fast.safetensors"
FAST_SETTINGS = ("prediction.tta=none", "prediction.scales=[1]")
SETTINGS_FILE = "config.toml"
FOLDS_FILE = "folds.csv"
VALIDATION_FILE = "validation.json"
SCORES_FILE = "oof.csv"
TUNING_FILE = "tuning.json"
OUTLINES_FILE = "outlines.csv"
METRICS_FILE = "metrics.csv"

TRAINED = ("folds", "network", "augment", "training")
USED = ("prediction", "instances", "hardware")
VALIDATED = ("prediction", "instances")


@dataclass(frozen=True)
class Run:
    """A folder of trained networks, by the fold that each has not seen.

    Attributes
    ----------
    folder : Path
    networks : dict of int to Path
        The file of each fold's network, ``fold<N>.safetensors``.
    scorers : dict of int to Path
        The file of each fold's candidate scorer, ``scorer<N>.safetensors``, which has not seen the
        fold either; empty where none was trained.
    """

    folder: Path
    networks: dict[int, Path] = field(default_factory=dict)
    scorers: dict[int, Path] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What to call it: ``bundled``, or the run's folder."""
        return "bundled" if self.is_bundled else str(self.folder)

    @property
    def is_bundled(self) -> bool:
        """Whether these are the networks that the package brings along."""
        return self.folder.resolve() == BUNDLED

    @property
    def settings_file(self) -> Path:
        """All settings that the networks were trained with and predict with."""
        return self.folder / SETTINGS_FILE

    @property
    def folds_file(self) -> Path:
        """The table of folds: ``ImageId, type, group, fold``."""
        return self.folder / FOLDS_FILE

    @property
    def validation_file(self) -> Path:
        """The out-of-fold score: over all images, by fold and by type."""
        return self.folder / VALIDATION_FILE

    @property
    def tuning_file(self) -> Path:
        """What tuning scored by source, and the sources that scorers were trained on."""
        return self.folder / TUNING_FILE

    @property
    def outlines_file(self) -> Path:
        """How labelled images look, and where their annotators end nuclei; need not be there."""
        return self.folder / OUTLINES_FILE

    @property
    def scores_file(self) -> Path:
        """The out-of-fold score of each image."""
        return self.folder / SCORES_FILE

    def network_file(self, fold: int) -> Path:
        """Return where the network of a fold belongs, whether it is there or not."""
        return self.folder / f"{NETWORK}{fold}{SUFFIX}"

    def scorer_file(self, fold: int) -> Path:
        """Return where the candidate scorer of a fold belongs, whether it is there or not."""
        return self.folder / f"{SCORER}{fold}{SUFFIX}"

    def fold_folder(self, fold: int) -> Path:
        """Return the folder of a fold's checkpoints and metrics."""
        return self.folder / f"{NETWORK}{fold}"

    def metrics_file(self, fold: int) -> Path:
        """Return the table of a fold's training: a row an epoch."""
        return self.fold_folder(fold) / METRICS_FILE

    def list_metrics(self) -> dict[int, Path]:
        """Return the table of each fold whose training has begun."""
        names = (path.name.removeprefix(NETWORK) for path in self.folder.glob(f"{NETWORK}*"))
        files = {int(name): self.metrics_file(int(name)) for name in names if name.isdecimal()}
        return {fold: files[fold] for fold in sorted(files) if files[fold].exists()}

    def fast(self) -> "Run":
        """Return one network alone: ``fast.safetensors`` where it is, else the first fold's."""
        fold = min(self.networks)
        first = self.select([fold])
        path = self.folder / FAST_FILE
        return Run(self.folder, {fold: path}, first.scorers) if path.exists() else first

    def sizing_network(self, folds: Sequence[int]) -> Path:
        """Return the network that measures the size of nuclei for those of some folds.

        For all folds together that is the one that was trained on everything, where there is one,
        else the first.
        """
        path = self.folder / FAST_FILE
        takes_all = len(folds) > 1 and set(folds) == set(self.networks)
        return path if takes_all and path.exists() else self.networks[min(folds)]

    def unseen_fold(self, folds: Sequence[int]) -> int | None:
        """Return the fold that none of some networks has seen; None where they have seen all."""
        first, *others = folds
        return None if others or self.networks[first].name == FAST_FILE else first

    def select(self, folds: Collection[int]) -> "Run":
        """Return the run with the networks and scorers of these folds only."""
        networks = {fold: path for fold, path in self.networks.items() if fold in folds}
        scorers = {fold: path for fold, path in self.scorers.items() if fold in folds}
        return Run(self.folder, networks, scorers)

    def load_settings(self, *paths: Path, overrides: Sequence[str] = ()) -> Settings:
        """Load the run's settings, with those of further files and overrides on top.

        Raises
        ------
        InputError
            When a setting is changed that the networks were trained with: it would be recorded
            without having had an effect.
        """
        own = [self.settings_file] if self.settings_file.exists() else []
        settings = load_settings(*own, *paths, overrides=overrides)
        for key, trained, changed in _differences(load_settings(*own), settings, TRAINED):
            raise InputError(
                f"{key} = {changed!r}: the networks of {self.name} were trained with {trained!r}; "
                f"only settings in {', '.join(USED)} can be changed here"
            )
        return settings

    def describe(self, *, runs: Path | None = None) -> str:
        """Say in a line which networks these are.

        Parameters
        ----------
        runs : Path, optional
            Where they were chosen unasked: says of the newest run there why it was not taken.
        """
        networks = "1 network" if len(self.networks) == 1 else f"{len(self.networks)} networks"
        newest = list_runs(runs)[0] if runs and list_runs(runs) else self
        if newest.folder == self.folder:
            return f"{self.name}, {networks}"
        return (
            f"{self.name}, {networks} ({newest.name} {newest.find_fault()}; select it with "
            f"--weights {newest.name})"
        )

    def scorer_folds(self, fold: int | None, source: str) -> list[int]:
        """Return the folds whose candidate scorers have not seen an image.

        Parameters
        ----------
        fold : int or None
            That holds the image out; None where no network has seen it.
        source : str
            Where the image is from: a scorer can have seen a source that no network has seen.
        """
        if fold is not None:
            return [fold]
        tuning = read_json(self.tuning_file) if self.tuning_file.exists() else {}
        held_out_by = tuning.get("scorer_folds", {}).get(source)
        return list(self.networks) if held_out_by is None else [int(held_out_by)]

    def read_validation(self) -> dict[str, Any]:
        """Return what was written about the run's validation; empty where there was none."""
        return read_json(self.validation_file) if self.validation_file.exists() else {}

    def write_validation(self, summary: dict[str, Any], settings: Settings, *, data: str) -> None:
        """Record an out-of-fold score, with the settings and the networks that earned it.

        Parameters
        ----------
        summary : dict
            ``score``, and whatever else is told about it.
        settings : Settings
        data : str
            What was scored on; ``demo`` for the demo set.
        """
        earned = settings.model_dump(mode="json", include=set(VALIDATED))
        facts = {"data": data, "settings": earned, "weights_sha256": self.digests()}
        write_json(self.validation_file, summary | facts)

    def cross_validation(self, settings: Settings) -> tuple[float | None, str]:
        """Return the out-of-fold score that predictions with these settings have earned.

        Returns
        -------
        score : float or None
        reason : str
            Why there is none; empty where there is one.
        """
        validation = self.read_validation()
        if not validation:
            return None, "the run has not been validated"
        if self != open_run(self.folder):
            return None, "not all networks of the run are used"
        if validation.get("weights_sha256", self.digests()) != self.digests():
            return None, "the networks have changed since they were validated"
        recorded = validation.get("settings")
        validated = parse_settings(recorded, source=str(self.validation_file)) if recorded else None
        for key, old, new in _differences(validated or self.load_settings(), settings, VALIDATED):
            return None, f"{key} is {new!r}, but was {old!r} when the run was validated"
        return float(validation["score"]), ""

    def find_fault(self) -> str | None:
        """Return why the run is not taken unasked; None where it is whole and validated."""
        if not self.folds_file.exists():
            return "has no folds.csv"
        try:
            with self.folds_file.open(newline="", encoding="utf-8") as file:
                folds = {int(row["fold"]) for row in csv.DictReader(file)}
        except (OSError, KeyError, TypeError, ValueError, csv.Error):
            return "has a folds.csv that cannot be read"
        missing = sorted(folds - self.networks.keys())
        if missing:
            return f"has no network of fold {missing[0]}"
        validation = self.read_validation()
        if not validation:
            return "has not been validated"
        return "was trained on the demo set" if validation.get("data") == "demo" else None

    def files_of_finder(self) -> list[Path]:
        """Return what cuts probabilities into nuclei: the candidate scorers and known outlines."""
        outlines = [self.outlines_file] if self.outlines_file.exists() else []
        return [*self.scorers.values(), *outlines]

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of each network, scorer and table of outlines by its file name."""
        files = (*self.networks.values(), *self.files_of_finder())
        return {path.name: digest_of(path) for path in files}


def open_run(folder: Path) -> Run:
    """Return the run in a folder, with whatever networks are there yet."""
    return Run(folder, _list_files(folder, NETWORK), _list_files(folder, SCORER))


def find_run(folder: Path | None = None, *, runs: Path = RUNS) -> Run:
    """Find the networks to predict with.

    Parameters
    ----------
    folder : Path, optional
        Where they are. Without it, the newest run in ``runs`` that is whole and validated, else
        the bundled ones.
    runs : Path

    Raises
    ------
    InputError
        When a named folder is missing or holds no network, or no network can be found at all.
    """
    if folder is None:
        return next((run for run in list_runs(runs) if not run.find_fault()), open_run(BUNDLED))
    trained = ", ".join(run.name for run in list_runs(runs))
    there = f"; available: {trained}" if trained else ""
    wanted = f"expected the folder of a finished training run{there}"
    run = open_run(require_folder(folder, wanted))
    if not run.networks:
        raise InputError(f"{folder}: contains no fold<N>.safetensors; {wanted}")
    return run


def list_runs(runs: Path = RUNS) -> list[Run]:
    """Return the runs that have a network, the newest first."""
    trained = [run for run in map(open_run, runs.glob("*")) if run.networks]
    return sorted(
        trained, key=lambda run: (run.folder.stat().st_mtime_ns, run.folder.name), reverse=True
    )


def _differences(
    old: Settings, new: Settings, sections: Iterable[str]
) -> Iterator[tuple[str, Any, Any]]:
    """Yield each setting that differs: its name, the old and the new value."""
    for section in sections:
        old_section, new_section = getattr(old, section), getattr(new, section)
        for key in type(old_section).model_fields:
            if getattr(old_section, key) != getattr(new_section, key):
                yield f"{section}.{key}", getattr(old_section, key), getattr(new_section, key)


def _list_files(folder: Path, prefix: str) -> dict[int, Path]:
    paths = {p.stem.removeprefix(prefix): p for p in folder.glob(f"{prefix}*{SUFFIX}")}
    return {int(n): paths[n] for n in sorted(filter(str.isdecimal, paths), key=int)}

"""A run: the folder with the networks of one training, one per fold."""

import csv
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kaggle_dsb.config import Settings
from kaggle_dsb.files import InputError, digest_of, read_json, require_folder, write_json
from kaggle_dsb.settings_files import load_settings, parse_settings
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
TUNING_FILE = "tuning.json"
OUTLINES_FILE = "outlines.csv"
METRICS_FILE = "metrics.csv"
METRICS_COLUMNS = ["epoch", "loss", "score", "learning_rate", "elapsed_s"]

TRAINED = ("folds", "network", "augment", "training")
FIXED = (*TRAINED, "logging")
USED = ("prediction", "instances", "hardware")
VALIDATED = ("prediction", "instances")


@dataclass(frozen=True)
class Run:
    """A folder of trained networks, by held-out fold.

    Attributes
    ----------
    folder : Path
    networks : dict of int to Path
        The network of each fold, ``fold<N>.safetensors``.
    scorers : dict of int to Path
        The candidate scorer of each fold, ``scorer<N>.safetensors``, trained without that fold
        too; empty if none was trained.
    """

    folder: Path
    networks: dict[int, Path] = field(default_factory=dict)
    scorers: dict[int, Path] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Display name: ``bundled``, or the run's folder."""
        return "bundled" if self.is_bundled else str(self.folder)

    @property
    def is_bundled(self) -> bool:
        """Whether these are the networks bundled with the package."""
        return self.folder.resolve() == BUNDLED

    @property
    def settings_file(self) -> Path:
        """All settings of training and prediction."""
        return self.folder / SETTINGS_FILE

    @property
    def folds_file(self) -> Path:
        """The fold table: ``ImageId, source, type, group, fold``."""
        return self.folder / FOLDS_FILE

    @property
    def validation_file(self) -> Path:
        """The out-of-fold score: overall, by fold and by type."""
        return self.folder / VALIDATION_FILE

    @property
    def tuning_file(self) -> Path:
        """The scores of tuning by source, and the fold that holds out each further source."""
        return self.folder / TUNING_FILE

    @property
    def outlines_file(self) -> Path:
        """Appearance and outline threshold of annotated images; optional."""
        return self.folder / OUTLINES_FILE

    def network_file(self, fold: int | None) -> Path:
        """Return the path of a network, which need not exist; None is trained on everything."""
        return self.folder / (FAST_FILE if fold is None else f"{NETWORK}{fold}{SUFFIX}")

    def scorer_file(self, fold: int) -> Path:
        """Return the path of a fold's candidate scorer, which need not exist."""
        return self.folder / f"{SCORER}{fold}{SUFFIX}"

    def work_folder(self, fold: int | None) -> Path:
        """Return the folder of checkpoints and metrics of a network's training."""
        return self.network_file(fold).with_suffix("")

    def metrics_file(self, fold: int | None) -> Path:
        """Return the path of a network's training metrics, one row per epoch."""
        return self.work_folder(fold) / METRICS_FILE

    def list_metrics(self) -> dict[int | None, Path]:
        """Return the metrics file of each network whose training has begun."""
        names = (path.name.removeprefix(NETWORK) for path in self.folder.glob(f"{NETWORK}*"))
        folds = sorted(int(name) for name in names if name.isdecimal())
        files = {fold: self.metrics_file(fold) for fold in (*folds, None)}
        return {fold: path for fold, path in files.items() if path.exists()}

    def fast(self) -> "Run":
        """Return a run of one network: ``fast.safetensors`` if it exists, else the first fold's."""
        fold = min(self.networks)
        first = self.select([fold])
        path = self.folder / FAST_FILE
        return Run(self.folder, {fold: path}, first.scorers) if path.exists() else first

    def sizing_network(self, folds: Sequence[int]) -> Path:
        """Return the network that measures the size of nuclei before predicting with some folds.

        With all folds it is the one trained on all images, if it exists; otherwise that of the
        first fold.
        """
        path = self.folder / FAST_FILE
        takes_all = len(folds) > 1 and set(folds) == set(self.networks)
        return path if takes_all and path.exists() else self.networks[min(folds)]

    def unseen_fold(self, folds: Sequence[int]) -> int | None:
        """Return the fold held out from all of these networks; None if there is none."""
        first, *others = folds
        return None if others or self.networks[first].name == FAST_FILE else first

    def select(self, folds: Collection[int]) -> "Run":
        """Return the run restricted to the networks and scorers of these folds."""
        networks = {fold: path for fold, path in self.networks.items() if fold in folds}
        scorers = {fold: path for fold, path in self.scorers.items() if fold in folds}
        return Run(self.folder, networks, scorers)

    def load_settings(self, *paths: Path, overrides: Sequence[str] = ()) -> Settings:
        """Load the run's settings, updated by further files and overrides.

        Raises
        ------
        InputError
            When a training setting is changed: it would be recorded without having any effect.
        """
        own = [self.settings_file] if self.settings_file.exists() else []
        settings = load_settings(*own, *paths, overrides=overrides)
        for key, trained, changed in differing_settings(load_settings(*own), settings, FIXED):
            raise InputError(
                f"{key} = {changed!r}: the networks of {self.name} were trained with {trained!r}; "
                f"only settings in {', '.join(USED)} can be changed here"
            )
        return settings

    def describe(self, *, runs: Path | None = None) -> str:
        """Describe the networks in one line.

        Parameters
        ----------
        runs : Path, optional
            Folder from which they were chosen by default; the line then also says why the newest
            run there was not chosen.
        """
        networks = "1 network" if len(self.networks) == 1 else f"{len(self.networks)} networks"
        newest = next(iter(list_runs(runs) if runs else []), self)
        if newest.folder == self.folder:
            return f"{self.name}, {networks}"
        return (
            f"{self.name}, {networks} ({newest.name} {newest.find_fault()}; select it with "
            f"--weights {newest.name})"
        )

    def scorer_folds(self, fold: int | None, source: str) -> list[int]:
        """Return the folds whose candidate scorers were not trained on an image.

        Parameters
        ----------
        fold : int or None
            Fold of the image; None if no network was trained on it.
        source : str
            Source of the image: scorers may be trained on sources that no network was trained on.
        """
        if fold is not None:
            return [fold]
        tuning = read_json(self.tuning_file) if self.tuning_file.exists() else {}
        held_out_by = tuning.get("scorer_folds", {}).get(source)
        return list(self.networks) if held_out_by is None else [int(held_out_by)]

    def read_validation(self) -> dict[str, Any]:
        """Return the recorded validation; empty if there is none."""
        return read_json(self.validation_file) if self.validation_file.exists() else {}

    def write_validation(self, summary: dict[str, Any], settings: Settings, *, data: str) -> None:
        """Record an out-of-fold score, with the settings and networks it was obtained with.

        Parameters
        ----------
        summary : dict
            ``score``, and any further entries.
        settings : Settings
        data : str
            The data that were scored; ``demo`` for the demo set.
        """
        earned = settings.model_dump(mode="json", include=set(VALIDATED))
        facts = {"data": data, "settings": earned, "weights_sha256": self.digests()}
        write_json(self.validation_file, summary | facts)

    def cross_validation(self, settings: Settings) -> tuple[float | None, str]:
        """Return the out-of-fold score if it applies to predictions with these settings.

        Returns
        -------
        score : float or None
        reason : str
            Why there is no score; empty if there is one.
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
        validated = validated or self.load_settings()
        for key, old, new in differing_settings(validated, settings, VALIDATED):
            return None, f"{key} is {new!r}, but was {old!r} when the run was validated"
        return float(validation["score"]), ""

    def find_fault(self) -> str | None:
        """Return why the run is not used by default; None if it is complete and validated."""
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
        try:
            validation = self.read_validation()
        except InputError:
            return "has a validation.json that cannot be read"
        if not validation:
            return "has not been validated"
        return "was trained on the demo set" if validation.get("data") == "demo" else None

    def files_of_finder(self) -> list[Path]:
        """Return the files used to segment probabilities: candidate scorers and outline table."""
        outlines = [self.outlines_file] if self.outlines_file.exists() else []
        return [*self.scorers.values(), *outlines]

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of each network, scorer and outline table, by file name."""
        files = (*self.networks.values(), *self.files_of_finder())
        return {path.name: digest_of(path) for path in files}


def open_run(folder: Path) -> Run:
    """Return the run in a folder, with the networks that exist so far."""
    return Run(folder, _list_files(folder, NETWORK), _list_files(folder, SCORER))


def resolve_run(run: Path, *, runs: Path = RUNS) -> Path:
    """Return the folder of a run: the given one, the bundled one, or that of this name."""
    if run.exists() or len(run.parts) > 1:
        return run
    named = BUNDLED if run == Path("bundled") else runs / run
    return named if named.exists() else run


def find_run(folder: Path | None = None, *, runs: Path = RUNS) -> Run:
    """Find the networks to predict with.

    Parameters
    ----------
    folder : Path, optional
        Folder of the networks, ``bundled``, or the name of a run. By default the newest complete
        and validated run, else the bundled networks.
    runs : Path

    Raises
    ------
    InputError
        When ``folder`` is missing or holds no network.
    """
    if folder is None:
        return next((run for run in list_runs(runs) if not run.find_fault()), open_run(BUNDLED))
    available = ", ".join(["bundled", *(run.name for run in list_runs(runs))])
    wanted = f"expected the folder of a finished training run; available: {available}"
    run = open_run(require_folder(resolve_run(folder, runs=runs), wanted))
    if not run.networks and (run.folder / FAST_FILE).exists():
        raise InputError(
            f"{folder}: has only {FAST_FILE}, trained on all images; train the folds too"
        )
    if not run.networks:
        raise InputError(f"{folder}: contains no fold<N>.safetensors; {wanted}")
    return run


def list_runs(runs: Path = RUNS) -> list[Run]:
    """Return the runs with at least one network, that with the newest network first."""
    trained = [run for run in map(open_run, runs.glob("[!.]*")) if run.networks]
    return sorted(trained, key=lambda run: (_newest_ns(run), run.folder.name), reverse=True)


def _newest_ns(run: Run) -> int:
    # Not of the folder, which every validation and picture changes.
    return max(path.stat().st_mtime_ns for path in run.networks.values())


def differing_settings(
    old: Settings, new: Settings, sections: Iterable[str]
) -> Iterator[tuple[str, Any, Any]]:
    """Yield the name, old value and new value of each setting that differs."""
    for section in sections:
        old_section, new_section = getattr(old, section), getattr(new, section)
        for key in type(old_section).model_fields:
            if getattr(old_section, key) != getattr(new_section, key):
                yield f"{section}.{key}", getattr(old_section, key), getattr(new_section, key)


def _list_files(folder: Path, prefix: str) -> dict[int, Path]:
    paths = {p.stem.removeprefix(prefix): p for p in folder.glob(f"{prefix}*{SUFFIX}")}
    return {int(n): paths[n] for n in sorted(filter(str.isdecimal, paths), key=int)}

"""A submission's folder: its files, provenance and score."""

import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kaggle_dsb.dataset.read_options import DEFAULT_OPTIONS, ReadOptions, parse_read_options
from kaggle_dsb.files import InputError, locking, read_json, write_json
from kaggle_dsb.workspace import SUBMISSIONS


@dataclass(frozen=True)
class SubmissionFolder:
    """The files of one submission.

    Attributes
    ----------
    folder : Path
        ``submissions/NAME``; it need not exist.
    """

    folder: Path

    @property
    def name(self) -> str:
        """The name of the submission."""
        return self.folder.name

    @property
    def csv_file(self) -> Path:
        """The submission itself: one row per nucleus."""
        return self.folder / "submission.csv"

    @property
    def labels_folder(self) -> Path:
        """The folder of the label images."""
        return self.folder / "labels"

    @property
    def export_folder(self) -> Path:
        """The folder of the nuclei in other tools' formats, if exported."""
        return self.folder / "export"

    @property
    def probabilities_folder(self) -> Path:
        """The folder of the predicted probabilities, if kept."""
        return self.folder / "probabilities"

    @property
    def settings_file(self) -> Path:
        """All settings of the submission."""
        return self.folder / "config.toml"

    @property
    def made_file(self) -> Path:
        """Provenance: version, commit, data, weights and their hashes."""
        return self.folder / "made.json"

    @property
    def score_file(self) -> Path:
        """Scores, computed from local ground truth and reported by Kaggle."""
        return self.folder / "score.json"

    @property
    def draft(self) -> "SubmissionFolder":
        """The folder of the files until the submission is complete."""
        return SubmissionFolder(self.folder / "unfinished")

    @property
    def key_file(self) -> Path:
        """The key of a draft: a digest of all that determines its label images."""
        return self.folder / "key.json"

    @property
    def draft_key(self) -> str | None:
        """The key of the draft; None without one."""
        path = self.draft.key_file
        return read_json(path).get("key") if path.exists() else None

    @property
    def report_file(self) -> Path:
        """The HTML report."""
        return self.folder / "report.html"

    def label_file(self, image_id: str) -> Path:
        """Return the path of an image's label image."""
        return self.labels_folder / f"{image_id}.png"

    def probability_file(self, image_id: str) -> Path:
        """Return the path of an image's probability, (n_scales, 3, H, W) float16."""
        return self.probabilities_folder / f"{image_id}.npy"

    def locking(self) -> AbstractContextManager[None]:
        """Lock the submission against concurrent writing by another process.

        Raises
        ------
        InputError
            When another process holds the lock.
        """
        # Not that of the draft, which is removed while the lock is held.
        return locking(self.folder, activity="writing this submission")

    def begin(self, key: str) -> None:
        """Begin a draft, or keep that of an interrupted call with the same key.

        Parameters
        ----------
        key : str
            A digest of all that determines the label images.
        """
        if self.draft_key == key:
            return
        for folder in (self.draft.labels_folder, self.draft.probabilities_folder):
            if folder.exists():  # what cannot be removed would be taken for new
                shutil.rmtree(folder)
        write_json(self.draft.key_file, {"key": key})

    def finish(self) -> None:
        """Replace the files of an earlier submission by those of the draft.

        Its scores, report and export are removed too, unless both predict the same nuclei.
        ``made.json`` is removed first and written last, so that it always describes the files
        beside it. If interrupted before that, the images must be predicted again.
        """
        self.made_file.unlink(missing_ok=True)
        if not _are_equal(self.csv_file, self.draft.csv_file):
            for path in (self.score_file, self.report_file):
                path.unlink(missing_ok=True)
            shutil.rmtree(self.export_folder, ignore_errors=True)
        for name in (self.labels_folder.name, self.probabilities_folder.name):
            kept = self.draft.folder / name
            for leftover in kept.glob(".*"):  # of a process killed while writing
                leftover.unlink()
            shutil.rmtree(self.folder / name, ignore_errors=True)
            if kept.exists():
                kept.replace(self.folder / name)
        for path in (self.csv_file, self.settings_file, self.made_file):
            (self.draft.folder / path.name).replace(path)
        shutil.rmtree(self.draft.folder)

    def read_made(self) -> dict[str, Any]:
        """Return the provenance of the submission; empty if not recorded."""
        return read_json(self.made_file) if self.made_file.exists() else {}

    def read_score(self) -> dict[str, Any]:
        """Return the recorded scores; empty if there are none."""
        return read_json(self.score_file) if self.score_file.exists() else {}

    @property
    def is_of_demo(self) -> bool:
        """Whether the submission is for the demo set."""
        return bool(self.read_made().get("data") == "demo")

    @property
    def set_name(self) -> str | None:
        """The predicted set of images; None if not recorded."""
        name = self.read_made().get("set")
        return str(name) if name else None

    @property
    def limit(self) -> int | None:
        """Maximum number of images used of each set; None if all were used."""
        limit = self.read_made().get("limit")
        return int(limit) if limit else None

    def choose_read_options(self, named: ReadOptions) -> ReadOptions:
        """Return the options for reading the predicted images.

        Parameters
        ----------
        named : ReadOptions
            The user's options; if they are the defaults, the recorded ones are used.

        Raises
        ------
        InputError
            When the recorded options are invalid.
        """
        recorded = self.read_made().get("read_options", {})
        if named != DEFAULT_OPTIONS or not recorded:
            return named
        return parse_read_options(recorded, source=str(self.made_file))

    def find_data(self) -> Path | None:
        """Return the location of the predicted images; None if not recorded, or the demo set.

        Raises
        ------
        InputError
            When it cannot be found.
        """
        data = self.read_made().get("data")
        if data is None or data == "demo":
            return None
        if not Path(data).exists():
            raise InputError(
                f"{self.made_file}: was made from {data}, which cannot be found from this folder; "
                "pass the data with --data"
            )
        return Path(data)

    def write_made(self, facts: dict[str, Any]) -> None:
        """Record the provenance of the submission."""
        write_json(self.made_file, facts)

    def write_score(self, score: dict[str, Any]) -> None:
        """Record the scores of the submission."""
        write_json(self.score_file, score)


def _are_equal(earlier: Path, new: Path) -> bool:
    return earlier.exists() and earlier.read_bytes() == new.read_bytes()


def list_submissions(folder: Path = SUBMISSIONS) -> list[SubmissionFolder]:
    """Return the submissions in a folder, sorted by name; empty if there is no such folder."""
    return [SubmissionFolder(path) for path in sorted(folder.glob("[!.]*")) if path.is_dir()]

"""A submission, with what made it and what it is worth, as it lies in a folder."""

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
        """What the submission is called."""
        return self.folder.name

    @property
    def csv_file(self) -> Path:
        """The submission itself: a row for each nucleus."""
        return self.folder / "submission.csv"

    @property
    def labels_folder(self) -> Path:
        """Holds the label image of each image."""
        return self.folder / "labels"

    @property
    def export_folder(self) -> Path:
        """Holds the nuclei in other tools' formats, where they were asked for."""
        return self.folder / "export"

    @property
    def probabilities_folder(self) -> Path:
        """Holds the probability of each image, where they were kept."""
        return self.folder / "probabilities"

    @property
    def settings_file(self) -> Path:
        """All settings that it was made with."""
        return self.folder / "config.toml"

    @property
    def made_file(self) -> Path:
        """What made it: version, commit, data, weights and their hashes."""
        return self.folder / "made.json"

    @property
    def score_file(self) -> Path:
        """What it is worth, by the truth at hand and by Kaggle."""
        return self.folder / "score.json"

    @property
    def draft(self) -> "SubmissionFolder":
        """Holds the label images and probabilities until all of them are there."""
        return SubmissionFolder(self.folder / "unfinished")

    @property
    def key_file(self) -> Path:
        """What the label images of a draft are made from, as a key."""
        return self.folder / "key.json"

    @property
    def report_file(self) -> Path:
        """The page about it."""
        return self.folder / "report.html"

    def label_file(self, image_id: str) -> Path:
        """Return where the label image of an image belongs."""
        return self.labels_folder / f"{image_id}.png"

    def probability_file(self, image_id: str) -> Path:
        """Return where the probability of an image belongs, (3, H, W) float16."""
        return self.probabilities_folder / f"{image_id}.npy"

    def locking(self) -> AbstractContextManager[None]:
        """Keep every other process from writing this submission at the same time.

        Raises
        ------
        InputError
            When another process does so already.
        """
        return locking(self.draft.folder, activity="writing this submission")

    def begin(self, key: str) -> None:
        """Begin a draft, or keep that of an interrupted run of the same key.

        Parameters
        ----------
        key : str
            A digest of all that determines the label images.
        """
        path = self.draft.key_file
        if path.exists() and read_json(path).get("key") == key:
            return
        for folder in (self.draft.labels_folder, self.draft.probabilities_folder):
            shutil.rmtree(folder, ignore_errors=True)
        write_json(path, {"key": key})

    def finish(self) -> None:
        """Put what the draft holds in the place of what an earlier submission left.

        ``made.json`` goes first and comes last: where it is, it tells of the files beside it. Until
        then, whatever interrupts this leaves enough to do it again.
        """
        # A score that an earlier submission of this name left would speak of other nuclei.
        for path in (self.made_file, self.score_file):
            path.unlink(missing_ok=True)
        for name in (self.labels_folder.name, self.probabilities_folder.name):
            kept = self.draft.folder / name
            for leftover in kept.glob(".*"):  # of a process that was killed while it wrote
                leftover.unlink()
            shutil.rmtree(self.folder / name, ignore_errors=True)
            if kept.exists():
                kept.rename(self.folder / name)
        for path in (self.csv_file, self.settings_file, self.made_file):
            (self.draft.folder / path.name).rename(path)
        shutil.rmtree(self.draft.folder)

    def read_made(self) -> dict[str, Any]:
        """Return what made the submission; empty where it was not recorded."""
        return read_json(self.made_file) if self.made_file.exists() else {}

    def read_score(self) -> dict[str, Any]:
        """Return what the submission is worth; empty where that is not known."""
        return read_json(self.score_file) if self.score_file.exists() else {}

    @property
    def is_of_demo(self) -> bool:
        """Whether it predicts the demo set."""
        return bool(self.read_made().get("data") == "demo")

    @property
    def set_name(self) -> str | None:
        """The set of images that it predicts; None where that was not recorded."""
        name = self.read_made().get("set")
        return str(name) if name else None

    @property
    def limit(self) -> int | None:
        """How many images of each set were used at the most; None where all were."""
        limit = self.read_made().get("limit")
        return int(limit) if limit else None

    def choose_read_options(self, named: ReadOptions) -> ReadOptions:
        """Return how the images that it predicts are read.

        Parameters
        ----------
        named : ReadOptions
            What the user asks for; the defaults leave it to what the submission was made with.

        Raises
        ------
        InputError
            When what was recorded cannot be meant.
        """
        recorded = self.read_made().get("read_options", {})
        if named != DEFAULT_OPTIONS or not recorded:
            return named
        return parse_read_options(recorded, source=str(self.made_file))

    def find_data(self) -> Path | None:
        """Return where the images that it predicts are; None where that was not recorded.

        Raises
        ------
        InputError
            When they are no longer there.
        """
        data = self.read_made().get("data")
        if data is None or data == "demo":
            return None
        if not Path(data).exists():
            raise InputError(
                f"{self.made_file}: was made from {data}, which no longer exists; pass the data "
                "with --data"
            )
        return Path(data)

    def write_made(self, facts: dict[str, Any]) -> None:
        """Record what made the submission."""
        write_json(self.made_file, facts)

    def write_score(self, score: dict[str, Any]) -> None:
        """Record what the submission is worth."""
        write_json(self.score_file, score)


def list_submissions(folder: Path = SUBMISSIONS) -> list[SubmissionFolder]:
    """Return the submissions in a folder by name; none where there is no such folder."""
    return [SubmissionFolder(path) for path in sorted(folder.glob("*")) if path.is_dir()]

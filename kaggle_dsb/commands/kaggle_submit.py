"""Check a submission, submit it to Kaggle, and record its scores."""

import sys
from datetime import UTC, datetime
from pathlib import Path

from kaggle_dsb.competition.submission import check_submission
from kaggle_dsb.dataset import TEST_SETS
from kaggle_dsb.dataset.samples import sizes
from kaggle_dsb.files import InputError, digest_of
from kaggle_dsb.progress import say
from kaggle_dsb.publish.client import Kaggle, Verdict
from kaggle_dsb.publish.errors import KaggleError
from kaggle_dsb.publish.session import wait_until
from kaggle_dsb.workspace.source import Source, choose_test_set
from kaggle_dsb.workspace.submission import SubmissionFolder


def check_record(submission: SubmissionFolder) -> None:
    """Check the record of a submission against the competition, before the data are read.

    Raises
    ------
    InputError
        When it predicts only some images, or images that are not the competition's.
    """
    made, path = submission.read_made(), submission.csv_file
    if submission.limit:
        raise InputError(
            f"{path}: predicts only {made['images']} images (--limit {submission.limit}); predict "
            "again without --limit"
        )
    _check_set(path, submission.set_name or TEST_SETS[0])


def _check_set(path: Path, set_name: str) -> None:
    if set_name not in TEST_SETS:
        sets = " or ".join(TEST_SETS)
        raise InputError(f"{path}: predicts {set_name}, but Kaggle scores only {sets}")


def check_locally(folder: Path, source: Source) -> Path:
    """Check that a submission is valid and has every image of its set.

    Parameters
    ----------
    folder : Path
        The submission.
    source : Source
        Holds the images of the set that was predicted.

    Returns
    -------
    Path
        The CSV.

    Raises
    ------
    InputError
        With the first fault, or when the images are not the competition's.

    Notes
    -----
    Since the deadline Kaggle scores with the solution of stage 2, and rejects a CSV that lacks its
    images; for stage 1 a warning is printed.
    """
    submission = SubmissionFolder(folder)
    path = submission.csv_file
    if not path.exists():
        raise InputError(f"{path}: no such file; create it with `kaggle-dsb submit --name …`")
    if source.is_demo:
        raise InputError(f"{path}: predicts the demo set; pass the competition's files with --data")
    set_name = choose_test_set(source, submission.set_name)
    _check_set(path, set_name)
    faults = check_submission(path, sizes(source.cache, set_name))
    if faults:
        raise InputError(f"not submitted, {len(faults)} errors, the first: {faults[0]}")
    if set_name == TEST_SETS[0]:
        print(
            f"warning: {path}: predicts {set_name}, but since the deadline Kaggle scores only "
            f"{TEST_SETS[1]}; predict it with --set-name {TEST_SETS[1]}",
            file=sys.stderr,
        )
    return path


def submit_to_kaggle(
    kaggle: Kaggle, folder: Path, message: str, *, every_s: float = 10, limit_s: float = 3600
) -> Verdict:
    """Submit a checked CSV, wait for its score and write it to ``score.json``.

    Parameters
    ----------
    kaggle : Kaggle
    folder : Path
        Holds ``submission.csv``; the entry ``kaggle`` of ``score.json`` is set, the rest is kept.
    message : str
        The description of the submission on Kaggle.
    every_s, limit_s : float
        The polling interval and the time limit for the score, in seconds.

    Raises
    ------
    InputError
        When the message is empty, or Kaggle rejects the file or cannot score it.

    Notes
    -----
    If a call is interrupted while it waits, the next one with the same CSV and message resumes
    waiting and does not submit again.
    """
    if not message.strip():
        raise InputError("the message is empty; describe the submission in a few words")
    path = SubmissionFolder(folder).csv_file
    digest = digest_of(path)
    number = _find_pending(folder, message)
    if number is None:
        number = kaggle.submit(path, message)
        _note(folder, message, number, Verdict("pending", None, None, ""), digest)

    def _ask() -> Verdict | None:
        verdict = kaggle.find_submission(number)
        return None if verdict is None or verdict.status == "pending" else verdict

    verdict = wait_until(_ask, doing="waiting for the score", every_s=every_s, limit_s=limit_s)
    _note(folder, message, number, verdict, digest)
    if verdict.status != "complete":
        raise KaggleError(f"{path}: Kaggle could not score it: {verdict.error}")
    return verdict


def _find_pending(folder: Path, message: str) -> int | None:
    submission = SubmissionFolder(folder)
    entry = submission.read_score().get("kaggle", {})
    asked = (digest_of(submission.csv_file), message)
    is_same = (entry.get("sha256"), entry.get("message")) == asked
    return int(entry["number"]) if is_same and entry["status"] == "pending" else None


def _note(folder: Path, message: str, number: int, verdict: Verdict, digest: str) -> None:
    """Record a verdict, unless the CSV is no longer the one with this digest."""
    submission = SubmissionFolder(folder)
    if digest_of(submission.csv_file) != digest:
        say(f"{submission.csv_file}: was replaced after it was sent; the verdict is not recorded")
        return
    entry = {
        "number": number,
        "message": message,
        "status": verdict.status,
        "public_score": verdict.public_score,
        "private_score": verdict.private_score,
        "error": verdict.error,
        "sha256": digest,
        "asked": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    submission.write_score(submission.read_score() | {"kaggle": entry})

"""Access to Kaggle through its official client, which only this module calls.

Importing the client signs in, so it is only imported inside functions.
"""

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import requests

from kaggle_dsb.files import read_json, replacing
from kaggle_dsb.publish import COMPETITION
from kaggle_dsb.publish.credentials import (
    PLACES,
    TOKEN_PAGE,
    find_config_folder,
    find_credentials,
    warn_if_readable,
)
from kaggle_dsb.publish.errors import KaggleError, NotThereError, to_line
from kaggle_dsb.publish.session import call, download_file, limit_time, read, upload


@dataclass(frozen=True)
class Verdict:
    """Kaggle's result for a submission.

    Attributes
    ----------
    status : str
        ``pending``, ``complete`` or ``error``.
    public_score, private_score : float or None
    error : str
        Kaggle's error message, if any.
    """

    status: str
    public_score: float | None
    private_score: float | None
    error: str


@dataclass(frozen=True)
class KernelRun:
    """The state of a kernel's run.

    Attributes
    ----------
    status : str
        ``queued``, ``running``, ``complete``, ``error``, ``cancel_requested`` or
        ``cancel_acknowledged``.
    failure : str
        Kaggle's error message, if any.
    """

    status: str
    failure: str

    @property
    def is_over(self) -> bool:
        """Whether the state is final."""
        return self.status in ("complete", "error", "cancel_acknowledged")


@dataclass(frozen=True)
class PushedVersion:
    """A version of a kernel on Kaggle.

    Attributes
    ----------
    ref : str
        The kernel, as ``user/slug``.
    number : int or None
        From 1; None for the latest.
    page : str
        URL.
    """

    ref: str
    number: int | None
    page: str

    @property
    def label(self) -> str | None:
        """The version in the notation of Kaggle's API."""
        return None if self.number is None else f"v{self.number}"


def connect() -> "Kaggle":
    """Sign in with the user's credentials.

    Raises
    ------
    KaggleError
        When there are none (naming the places searched), or Kaggle does not accept them.
    """
    credentials = find_credentials()
    if credentials is None:
        raise KaggleError(
            f"no Kaggle credentials found (looked for {PLACES} in {find_config_folder()}); create "
            f"a token at {TOKEN_PAGE} and put it in KAGGLE_API_TOKEN or ~/.kaggle/access_token"
        )
    warn_if_readable(credentials)
    api = _make_api()

    def _sign_in() -> None:
        # The client would repeat the warning above.
        with redirect_stdout(io.StringIO()):
            api.authenticate()

    try:
        read("signing in", _sign_in)
    except SystemExit:
        raise KaggleError(
            f"{credentials.place}: Kaggle rejected these credentials; create new ones at "
            f"{TOKEN_PAGE}"
        ) from None
    return Kaggle(api)


@contextmanager
def _config_folder() -> Iterator[None]:
    """Use a temporary config folder if the client, on import, could not create its own."""
    try:
        find_config_folder().mkdir(parents=True, exist_ok=True)
    except OSError:
        with tempfile.TemporaryDirectory() as folder, _environment("KAGGLE_CONFIG_DIR", folder):
            yield
    else:
        yield


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    earlier = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        os.environ |= {} if earlier is None else {name: earlier}


def _make_api() -> Any:
    try:
        with _config_folder():
            from kaggle.api.kaggle_api_extended import KaggleApi
            from kaggle.models.kaggle_models_extended import ResumableUploadResult
    except ImportError as error:
        raise KaggleError(f"Kaggle's client cannot start ({error}); run `make setup`") from None

    class Api(KaggleApi):  # type: ignore[misc]
        """The client with timeouts, and an error for a failed upload."""

        def build_kaggle_client(self) -> Any:
            """Return a client whose requests have timeouts."""
            client = super().build_kaggle_client()
            with client.http_client() as http:  # entering creates the session
                limit_time(http._session)
            return client

        def upload_complete(self, path: str, url: str, quiet: bool, resume: bool = False) -> int:
            """Upload a file, and return the client's result code."""
            try:
                is_complete = upload(Path(path), url, resume=resume)
            except requests.RequestException:
                return int(ResumableUploadResult.INCOMPLETE)
            result = ResumableUploadResult
            return int(result.COMPLETE if is_complete else result.FAILED)

        def _upload_file(self, file_name: str, *args: Any, **options: Any) -> Any:
            uploaded = super()._upload_file(file_name, *args, **options)
            if uploaded is None:
                raise KaggleError(f"{file_name}: the upload failed; run the same command again")
            return uploaded

    return Api()


class Kaggle:
    """A signed-in client.

    Parameters
    ----------
    api : KaggleApi
        The official client; use `connect`.
    """

    def __init__(self, api: Any) -> None:
        self._api = api

    @property
    def username(self) -> str:
        """The user's name, as in URLs."""
        return str(self._api.config_values["username"])

    def measure_competition(self) -> int:
        """Return the total size of the competition's files in bytes, as listed by Kaggle."""
        listing = read("listing the competition's files", self._list_files)
        return sum(file.total_bytes for file in listing.files)

    def _list_files(self) -> Any:
        return self._api.competition_list_files(COMPETITION, page_size=200)

    def download_competition(self, folder: Path) -> Path:
        """Download all files of the competition as one zip, resuming an interrupted transfer."""

        def _download() -> None:
            self._api.competition_download_files(COMPETITION, path=str(folder), quiet=False)

        call("downloading the competition's files", _download)
        return folder / f"{COMPETITION}.zip"

    def dataset_status(self, ref: str) -> str | None:
        """Return the status, ``ready``, ``failed`` …; None if the data set does not exist."""
        try:
            return str(read(f"looking for the data set {ref}", self._api.dataset_status, ref))
        except NotThereError:
            return None

    def upload_dataset(self, folder: Path, *, is_new: bool, notes: str) -> None:
        """Create a data set, or a new version of it, from a folder with ``dataset-metadata.json``.

        Raises
        ------
        KaggleError
            When Kaggle rejects it or an upload fails.
        """
        doing = f"uploading {folder}"
        if is_new:
            reply = call(doing, self._api.dataset_create_new, str(folder), quiet=True)
        else:
            reply = call(doing, self._api.dataset_create_version, str(folder), notes, quiet=True)
        if reply.error or str(reply.status).lower() == "error":
            raise KaggleError(f"{doing}: Kaggle replied: {to_line(reply.error or reply.status)}")

    def push_kernel(self, folder: Path) -> PushedVersion:
        """Push the kernel in a folder with ``kernel-metadata.json``, which starts its run.

        Raises
        ------
        KaggleError
            When Kaggle rejects it, or cannot attach one of its sources, for which the client alone
            would raise no error.
        """
        doing = f"pushing {folder}"
        ref = str(read_json(folder / "kernel-metadata.json")["id"])
        reply = call(doing, self._api.kernels_push, str(folder))
        if reply.error:
            raise KaggleError(f"{doing}: Kaggle replied: {to_line(reply.error)}")
        for kind in ("dataset", "competition", "kernel", "model"):
            invalid = getattr(reply, f"invalid_{kind}_sources")
            if invalid:
                raise KaggleError(
                    f"{doing}: Kaggle does not know the {kind} {', '.join(invalid)}, or you have "
                    "no access to it; the kernel was pushed without it and will fail"
                )
        return PushedVersion(ref, reply.version_number or None, str(reply.url))

    def kernel_run(self, version: PushedVersion) -> KernelRun:
        """Return the state of a version's run."""
        doing = f"querying the status of {version.ref}"
        reply = read(doing, self._ask_status, version)
        return KernelRun(reply.status.name.lower(), to_line(reply.failure_message or ""))

    def _ask_status(self, version: PushedVersion) -> Any:
        from kagglesdk.kernels.types.kernels_api_service import ApiGetKernelSessionStatusRequest

        request = _address(ApiGetKernelSessionStatusRequest(), version)
        with self._api.build_kaggle_client() as client:
            return client.kernels.kernels_api_client.get_kernel_session_status(request)

    def fetch_output(self, version: PushedVersion, folder: Path) -> list[Path]:
        """Download all output files of a version's run, and its log as ``<slug>.log``.

        Returns
        -------
        list of Path
            The log comes last.
        """
        files, log = read(f"listing the output of {version.ref}", self._list_output, version)
        fetched = [download_file(url, _place_inside(folder, name)) for name, url in files]
        path = folder / f"{version.ref.partition('/')[2]}.log"
        with replacing(path) as temporary:
            temporary.write_text(log, encoding="utf-8")
        return [*fetched, path]

    def _list_output(self, version: PushedVersion) -> tuple[list[tuple[str, str]], str]:
        from kagglesdk.kernels.types.kernels_api_service import ApiListKernelSessionOutputRequest

        files: list[tuple[str, str]] = []
        log, page = "", ""
        with self._api.build_kaggle_client() as client:
            while True:
                request = _address(ApiListKernelSessionOutputRequest(), version)
                request.page_size, request.page_token = 100, page
                reply = client.kernels.kernels_api_client.list_kernel_session_output(request)
                files += [(file.file_name, file.url) for file in reply.files or []]
                log, page = log or reply.log or "", reply.next_page_token
                if not page:
                    return files, log

    def submit(self, path: Path, message: str) -> int:
        """Submit a CSV to the competition and return the submission's number."""
        doing = f"submitting {path}"
        submit = self._api.competition_submit
        reply = call(doing, submit, str(path), message, COMPETITION, quiet=True)
        if not reply.ref:
            raise KaggleError(f"{doing}: Kaggle replied: {to_line(reply.message or 'nothing')}")
        return int(reply.ref)

    def find_submission(self, number: int) -> Verdict | None:
        """Return Kaggle's result for a submission; None if it is not listed."""
        listed = read("querying the score", self._api.competition_submissions, COMPETITION)
        for submission in listed or []:
            if submission.ref == number:
                scores = (_to_score(submission.public_score), _to_score(submission.private_score))
                status = submission.status.name.lower()
                return Verdict(status, *scores, to_line(submission.error_description or ""))
        return None


def _address(request: Any, version: PushedVersion) -> Any:
    request.user_name, _, request.kernel_slug = version.ref.partition("/")
    request.version_label = version.label
    return request


def _to_score(text: str | None) -> float | None:
    return float(text) if text else None


def _place_inside(folder: Path, name: str) -> Path:
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or "\\" in name:
        raise KaggleError(f"{name!r}: an output file must lie inside the kernel's folder")
    return folder / parts

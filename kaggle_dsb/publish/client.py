"""Kaggle through its official client: the one module that calls it, and turns its errors into ours.

Importing the client signs in, so every import of it stands inside a function.
"""

import io
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import requests

from kaggle_dsb.files import InputError, replacing
from kaggle_dsb.publish.credentials import (
    PLACES,
    TOKEN_PAGE,
    find_config_folder,
    find_credentials,
    warn_if_readable,
)

COMPETITION = "data-science-bowl-2018"
RULES_PAGE = f"https://www.kaggle.com/competitions/{COMPETITION}/rules"

TIMEOUT_S = 60.0
TRIES = 4
BACKOFF_S = 2.0
LONGEST_WAIT_S = 120.0

T = TypeVar("T")


class KaggleError(InputError):
    """Kaggle refused a request, or could not be reached; the message says what to do."""


@dataclass(frozen=True)
class Verdict:
    """What Kaggle says of a submission.

    Attributes
    ----------
    status : str
        ``pending``, ``complete`` or ``error``.
    public_score, private_score : float or None
    error : str
        Kaggle's reason, for an error.
    """

    status: str
    public_score: float | None
    private_score: float | None
    error: str


@dataclass(frozen=True)
class Run:
    """How a kernel's run stands.

    Attributes
    ----------
    status : str
        ``queued``, ``running``, ``complete``, ``error`` or ``cancel_acknowledged``.
    failure : str
        Kaggle's reason, for an error.
    """

    status: str
    failure: str

    @property
    def is_over(self) -> bool:
        """Whether it will not change any more."""
        return self.status in ("complete", "error", "cancel_acknowledged")


def connect() -> "Kaggle":
    """Sign in with the user's credentials.

    Raises
    ------
    KaggleError
        When there are none (with the places that were searched), or Kaggle does not take them.
    """
    found = find_credentials()
    if found is None:
        raise KaggleError(
            f"no Kaggle credentials; looked for {PLACES} in {find_config_folder()}; make a token "
            f"at {TOKEN_PAGE} and put it in KAGGLE_API_TOKEN or ~/.kaggle/access_token"
        )
    warn_if_readable(found)
    # The client repeats on every call what was just warned of.
    with _translating("signing in"), redirect_stdout(io.StringIO()):
        api = _make_api()
        try:
            api.authenticate()
        except SystemExit:
            raise KaggleError(
                f"{found.place}: Kaggle does not accept these credentials; make new ones at "
                f"{TOKEN_PAGE}"
            ) from None
    return Kaggle(api)


def _make_api() -> Any:
    try:
        from kaggle.api.kaggle_api_extended import KaggleApi
    except ImportError as error:
        raise KaggleError(f"Kaggle's client cannot start ({error}); run `make setup`") from None

    class Api(KaggleApi):  # type: ignore[misc]
        """The client, except that a file which cannot be uploaded is an error."""

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
        """The user's name, as it stands in addresses."""
        return str(self._api.config_values["username"])

    def measure_competition(self) -> int:
        """Give the size of the competition's files in bytes, as they are served."""
        listing = _read("listing the competition's files", self._list_files)
        return sum(file.total_bytes for file in listing.files)

    def _list_files(self) -> Any:
        return self._api.competition_list_files(COMPETITION, page_size=200)

    def download_competition(self, folder: Path) -> Path:
        """Download everything the competition serves as one zip, going on where a try broke off."""

        def download() -> None:
            self._api.competition_download_files(COMPETITION, path=str(folder), quiet=False)

        _call("downloading the competition's files", download)
        return folder / f"{COMPETITION}.zip"

    def dataset_status(self, ref: str) -> str | None:
        """Give ``ready``, ``failed`` …; None for a data set that does not exist yet."""
        try:
            return str(_read(f"looking for the data set {ref}", self._api.dataset_status, ref))
        except _NotThereError:
            return None

    def upload_dataset(self, folder: Path, *, is_new: bool, notes: str) -> None:
        """Create the data set of a folder with ``dataset-metadata.json``, or a new version of it.

        Raises
        ------
        KaggleError
            When Kaggle refuses it or any file did not arrive.
        """
        doing = f"uploading {folder}"
        if is_new:
            reply = _call(doing, self._api.dataset_create_new, str(folder), quiet=True)
        else:
            reply = _call(doing, self._api.dataset_create_version, str(folder), notes, quiet=True)
        if reply.error or str(reply.status).lower() == "error":
            raise KaggleError(f"{doing}: Kaggle says: {_one_line(reply.error or reply.status)}")

    def push_kernel(self, folder: Path) -> str:
        """Push the kernel of a folder with ``kernel-metadata.json``, and give its page.

        Raises
        ------
        KaggleError
            When Kaggle refuses it, or could not attach one of its sources; the client itself only
            warns of that.
        """
        doing = f"pushing {folder}"
        reply = _call(doing, self._api.kernels_push, str(folder))
        if reply.error:
            raise KaggleError(f"{doing}: Kaggle says: {_one_line(reply.error)}")
        for kind in ("dataset", "competition", "kernel", "model"):
            invalid = getattr(reply, f"invalid_{kind}_sources")
            if invalid:
                raise KaggleError(
                    f"{doing}: Kaggle knows no {kind} {', '.join(invalid)}, or you may not use it; "
                    "the kernel was pushed without it and will fail"
                )
        return str(reply.url)

    def kernel_run(self, ref: str) -> Run:
        """Give the state of a kernel's latest run."""
        reply = _read(f"asking for the state of {ref}", self._api.kernels_status, ref)
        return Run(reply.status.name.lower(), _one_line(reply.failure_message or ""))

    def fetch_output(self, ref: str, folder: Path) -> list[Path]:
        """Fetch all files of a kernel's latest run, and its log as ``<slug>.log``."""
        files, log = _read(f"listing the output of {ref}", self._list_output, ref)
        fetched = [_fetch(url, _place_inside(folder, name)) for name, url in files]
        path = folder / f"{ref.partition('/')[2]}.log"
        with replacing(path) as temporary:
            temporary.write_text(log, encoding="utf-8")
        return [*fetched, path]

    def _list_output(self, ref: str) -> tuple[list[tuple[str, str]], str]:
        from kagglesdk.kernels.types.kernels_api_service import ApiListKernelSessionOutputRequest

        files: list[tuple[str, str]] = []
        log, page = "", ""
        with self._api.build_kaggle_client() as client:
            while True:
                request = ApiListKernelSessionOutputRequest()
                request.user_name, _, request.kernel_slug = ref.partition("/")
                request.page_size, request.page_token = 100, page
                reply = client.kernels.kernels_api_client.list_kernel_session_output(request)
                files += [(file.file_name, file.url) for file in reply.files or []]
                log, page = log or reply.log or "", reply.next_page_token
                if not page:
                    return files, log

    def submit(self, path: Path, message: str) -> int:
        """Submit a CSV to the competition and give the submission's number."""
        doing = f"submitting {path}"
        submit = self._api.competition_submit
        reply = _call(doing, submit, str(path), message, COMPETITION, quiet=True)
        if not reply.ref:
            raise KaggleError(f"{doing}: Kaggle says: {_one_line(reply.message or 'nothing')}")
        return int(reply.ref)

    def find_submission(self, number: int) -> Verdict | None:
        """Give Kaggle's verdict on a submission; None where it is not listed."""
        listed = _read("asking for the score", self._api.competition_submissions, COMPETITION)
        for one in listed or []:
            if one.ref == number:
                scores = (_to_score(one.public_score), _to_score(one.private_score))
                status = one.status.name.lower()
                return Verdict(status, *scores, _one_line(one.error_description or ""))
        return None


def wait_until(ask: Callable[[], T | None], *, doing: str, every_s: float, limit_s: float) -> T:
    """Ask again and again until there is an answer, with a line on stderr.

    Parameters
    ----------
    ask : callable
        Gives None for not yet.
    doing : str
        What is waited for, as the line says it.
    every_s, limit_s : float
        Pause between two questions, and how long to go on.

    Raises
    ------
    KaggleError
        When the time is over.
    """
    started = time.monotonic()
    while True:
        answer = ask()
        elapsed_s = time.monotonic() - started
        _show_line(f"{doing}: {elapsed_s:.0f} s", is_last=answer is not None)
        if answer is not None:
            return answer
        if elapsed_s > limit_s:
            raise KaggleError(f"{doing}: no answer in {limit_s:.0f} s; look at Kaggle's page of it")
        time.sleep(every_s)


def _show_line(text: str, *, is_last: bool) -> None:
    if sys.stderr.isatty():
        print(f"\r{text}\033[K", end="\n" if is_last else "", file=sys.stderr, flush=True)
    elif is_last:
        print(text, file=sys.stderr, flush=True)


def _to_score(text: str | None) -> float | None:
    return float(text) if text else None


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


def _place_inside(folder: Path, name: str) -> Path:
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts:
        raise KaggleError(f"{name!r}: an output file must lie inside the kernel's folder")
    return folder / parts


def _fetch(url: str, path: Path) -> Path:
    def fetch() -> None:
        with requests.get(url, stream=True) as reply:
            reply.raise_for_status()
            with replacing(path) as temporary, temporary.open("wb") as file:
                for part in reply.iter_content(1 << 20):
                    file.write(part)

    _read(f"fetching {path.name}", fetch)
    return path


class _NotThereError(KaggleError):
    """What was asked for does not exist, or not for this user."""


def _call(doing: str, function: Callable[..., T], *args: Any, **options: Any) -> T:
    """Call the client; only where Kaggle asks for patience is the request made again."""
    return _try_often(doing, lambda: function(*args, **options), _asks_for_patience)


def _read(doing: str, function: Callable[..., T], *args: Any, **options: Any) -> T:
    """Call what changes nothing at Kaggle, and so may be repeated after any passing failure."""
    return _try_often(doing, lambda: function(*args, **options), _is_passing)


def _try_often(doing: str, function: Callable[[], T], may_repeat: Callable[[Exception], bool]) -> T:
    with _translating(doing):
        for attempt in range(1, TRIES):
            try:
                return function()
            except requests.RequestException as error:
                if not may_repeat(error):
                    raise
                pause_s = _find_pause(error, attempt)
                print(f"{doing}: failed, next try in {pause_s:.0f} s", file=sys.stderr)
                time.sleep(pause_s)
        return function()


def _status_of(error: Exception) -> int | None:
    response = getattr(error, "response", None)
    return None if response is None else int(response.status_code)


def _asks_for_patience(error: Exception) -> bool:
    return _status_of(error) == 429


def _is_passing(error: Exception) -> bool:
    status = _status_of(error)
    broken = isinstance(error, requests.ConnectionError | requests.Timeout)
    return broken or status == 429 or (status is not None and status >= 500)


def _find_pause(error: requests.RequestException, attempt: int) -> float:
    asked = error.response.headers.get("Retry-After", "") if error.response is not None else ""
    pause_s = (
        float(asked) if re.fullmatch(r"\d+(\.\d+)?", asked) else BACKOFF_S * 2 ** (attempt - 1)
    )
    return min(pause_s, LONGEST_WAIT_S)


@contextmanager
def _translating(doing: str) -> Iterator[None]:
    """Send the client's chatter to stderr, limit its patience, and explain its errors."""
    try:
        with redirect_stdout(sys.stderr), _with_timeouts():
            yield
    except requests.HTTPError as error:
        raise _explain_status(doing, error) from None
    except requests.Timeout:
        raise KaggleError(
            f"{doing}: Kaggle did not answer in {TIMEOUT_S:.0f} s; try again later"
        ) from None
    except requests.ConnectionError as error:
        raise KaggleError(f"{doing}: {_explain_break(error)}") from None
    except requests.RequestException as error:
        raise KaggleError(
            f"{doing}: the connection broke off ({type(error).__name__}); what has arrived is "
            "kept, run the same command again"
        ) from None
    except InputError:
        raise
    except ValueError as error:
        raise KaggleError(f"{doing}: {_explain_value(error)}") from None


def _explain_break(error: requests.ConnectionError) -> str:
    host = getattr(error.request, "url", None) or "Kaggle"
    host = host.split("/")[2] if "//" in host else host
    return (
        f"no network connection to {host}; check that it can be reached from here (in a Kaggle "
        "notebook: switch the internet on)"
    )


def _explain_value(error: ValueError) -> str:
    if type(error).__name__ == "JSONDecodeError":
        return (
            "Kaggle answered with something that is no JSON, as a proxy's or a maintenance page "
            "does; try again later"
        )
    return _one_line(error)


def _explain_status(doing: str, error: requests.HTTPError) -> KaggleError:
    status = _status_of(error)
    said = _find_message(error)
    advice = {
        401: f"wrong or expired credentials; make new ones at {TOKEN_PAGE}",
        403: f"not allowed; accept the competition's rules at {RULES_PAGE}, or check the owner",
        404: "not found; check the name and that you may see it",
        409: "in conflict with what is there; wait until an earlier upload is done, or rename it",
        429: "too many requests; try again in some minutes",
    }
    kind = _NotThereError if status in (403, 404) else KaggleError
    fallback = "Kaggle has trouble of its own; try again later"
    return kind(f"{doing}: HTTP {status}{said}: {advice.get(status or 0, fallback)}")


def _find_message(error: requests.HTTPError) -> str:
    try:
        message = error.response.json()["message"]  # type: ignore[union-attr]
    except (AttributeError, KeyError, TypeError, ValueError):
        return ""
    return f" ({_one_line(message)[:200]})" if message else ""


@contextmanager
def _with_timeouts() -> Iterator[None]:
    """Give every request a time limit: the client sets none and would wait for ever."""
    plain = requests.adapters.HTTPAdapter.send

    def send(adapter: Any, request: Any, **options: Any) -> Any:
        options["timeout"] = options.get("timeout") or TIMEOUT_S
        return plain(adapter, request, **options)

    requests.adapters.HTTPAdapter.send = send  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        requests.adapters.HTTPAdapter.send = plain  # type: ignore[method-assign]

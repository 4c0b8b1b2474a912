"""HTTP requests with timeouts and retries."""

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import requests
from requests.adapters import HTTPAdapter

from kaggle_dsb.files import replacing
from kaggle_dsb.publish.errors import KaggleError, UnreachableError, status_of, translating

TIMEOUT_S = 60.0
TRIES = 4
BACKOFF_S = 2.0
LONGEST_PAUSE_S = 120.0
_BROKEN = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,  # the connection broke within the body
)

T = TypeVar("T")


class _TimedAdapter(HTTPAdapter):
    def send(self, *args: Any, **options: Any) -> requests.Response:
        """Send a request, with a default timeout."""
        options["timeout"] = options.get("timeout") or TIMEOUT_S
        return super().send(*args, **options)


def limit_time(session: requests.Session) -> requests.Session:
    """Set a default timeout for all requests of a session, and return the session."""
    for scheme in ("https://", "http://"):
        session.mount(scheme, _TimedAdapter())
    return session


def call(doing: str, function: Callable[..., T], *args: Any, **options: Any) -> T:
    """Make a request that modifies something on Kaggle; retry only after HTTP 429.

    Parameters
    ----------
    doing : str
        The activity, with which error messages begin.
    function : callable
        Makes a request; `args` and `options` are passed on.

    Raises
    ------
    KaggleError
        When the request fails.
    """
    return _try_often(doing, lambda: function(*args, **options), _asks_for_patience)


def read(doing: str, function: Callable[..., T], *args: Any, **options: Any) -> T:
    """Make a read-only request; retry after any failure that may be temporary; see `call`."""
    return _try_often(doing, lambda: function(*args, **options), _may_pass)


def download_file(url: str, path: Path) -> Path:
    """Download a file; if that fails, ``path`` is unchanged."""

    def _download() -> None:
        with limit_time(requests.Session()) as session, session.get(url, stream=True) as reply:
            reply.raise_for_status()
            with replacing(path) as temporary, temporary.open("wb") as file:
                for part in reply.iter_content(1 << 20):
                    file.write(part)

    read(f"fetching {path.name}", _download)
    return path


def upload(path: Path, url: str, *, resume: bool) -> bool:
    """Upload a file to a URL for resumable uploads.

    Parameters
    ----------
    path : Path
    url : str
    resume : bool
        Whether to ask first how many bytes have arrived.

    Returns
    -------
    bool
        False if the server does not accept it, so that a new URL is needed.

    Raises
    ------
    requests.RequestException
        When the connection fails or the server is busy; the upload can be resumed.
    """
    size = path.stat().st_size
    with limit_time(requests.Session()) as session:
        start = 0
        if resume:
            asked = session.put(url, headers={"Content-Range": f"bytes */{size}"})
            if asked.status_code != 308:
                return asked.ok
            start = _count_arrived(asked.headers.get("Range", ""))
        headers = {"Content-Range": f"bytes {start}-{size - 1}/{size}"} if start else {}
        with path.open("rb") as file:
            file.seek(start)
            reply = session.put(url, data=file, headers=headers)
    if reply.status_code == 503:
        raise requests.ConnectionError("the server is busy", request=reply.request)
    return reply.ok


def wait_until(ask: Callable[[], T | None], *, doing: str, every_s: float, limit_s: float) -> T:
    """Poll until there is an answer, with a status line on stderr.

    Parameters
    ----------
    ask : callable
        Returns None while there is no answer yet. Polling goes on if Kaggle cannot be reached.
    doing : str
        What is waited for, as shown in the status line.
    every_s, limit_s : float
        Polling interval, and timeout.

    Raises
    ------
    KaggleError
        On timeout.
    """
    started = time.monotonic()
    while True:
        answer, trouble = _ask(ask)
        elapsed_s = time.monotonic() - started
        _show_line(f"{doing}: {elapsed_s:.0f} s{trouble}", is_last=answer is not None)
        if answer is not None:
            return answer
        if elapsed_s > limit_s:
            raise KaggleError(
                f"{doing}: no answer within {limit_s:.0f} s; check its page on Kaggle"
            )
        time.sleep(every_s)


def _ask(ask: Callable[[], T | None]) -> tuple[T | None, str]:
    try:
        return ask(), ""
    except UnreachableError:
        return None, ", no connection; retrying"


def _show_line(text: str, *, is_last: bool) -> None:
    if sys.stderr.isatty():
        print(f"\r{text}\033[K", end="\n" if is_last else "", file=sys.stderr, flush=True)
    elif is_last:
        print(text, file=sys.stderr, flush=True)


def _count_arrived(header: str) -> int:
    ended = re.fullmatch(r"bytes=0-(\d+)", header)
    return int(ended[1]) + 1 if ended else 0


def _try_often(doing: str, function: Callable[[], T], may_repeat: Callable[[Exception], bool]) -> T:
    with translating(doing):
        for attempt in range(1, TRIES):
            try:
                return function()
            except requests.RequestException as error:
                if not may_repeat(error):
                    raise
                pause_s = _find_pause(error, attempt)
                print(f"{doing}: failed, retrying in {pause_s:.0f} s", file=sys.stderr)
                time.sleep(pause_s)
        return function()


def _asks_for_patience(error: Exception) -> bool:
    return status_of(error) == 429


def _may_pass(error: Exception) -> bool:
    status = status_of(error)
    return isinstance(error, _BROKEN) or status == 429 or (status is not None and status >= 500)


def _find_pause(error: requests.RequestException, attempt: int) -> float:
    asked = error.response.headers.get("Retry-After", "") if error.response is not None else ""
    backoff_s = BACKOFF_S * 2 ** (attempt - 1)
    return min(float(asked) if re.fullmatch(r"\d+(\.\d+)?", asked) else backoff_s, LONGEST_PAUSE_S)

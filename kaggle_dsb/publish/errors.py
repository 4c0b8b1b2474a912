"""Errors of Kaggle and of the connection, as one-line messages that say what to do."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import requests

from kaggle_dsb.files import InputError
from kaggle_dsb.publish import COMPETITION
from kaggle_dsb.publish.credentials import TOKEN_PAGE

RULES_PAGE = f"https://www.kaggle.com/competitions/{COMPETITION}/rules"

_ADVICE = {
    401: f"wrong or expired credentials; make new ones at {TOKEN_PAGE}",
    403: f"not allowed; accept the competition's rules at {RULES_PAGE}, or check the owner",
    404: "not found; check the name and that you may see it",
    409: "in conflict with what is there; wait until an earlier upload is done, or rename it",
    429: "too many requests; try again in some minutes",
}
_NO_JSON = (
    "Kaggle answered with something that is no JSON, as a proxy's or a maintenance page does; try "
    "again later"
)


class KaggleError(InputError):
    """Kaggle rejected a request or could not be reached; the message says what to do."""


class NotThereError(KaggleError):
    """The requested object does not exist, or this user may not access it."""


class UnreachableError(KaggleError):
    """Kaggle could not be reached or has a server error, possibly temporary."""


@contextmanager
def translating(doing: str) -> Iterator[None]:
    """Convert the client's errors to `KaggleError`, and redirect its output to stderr.

    Parameters
    ----------
    doing : str
        The activity, with which messages begin: ``listing the files``.
    """
    try:
        with redirect_stdout(sys.stderr):
            yield
    except requests.RequestException as error:
        raise explain(doing, error) from None
    except InputError:
        raise
    except json.JSONDecodeError:
        raise UnreachableError(f"{doing}: {_NO_JSON}") from None
    except ValueError as error:
        raise KaggleError(f"{doing}: {to_line(error)}") from None


def explain(doing: str, error: requests.RequestException) -> KaggleError:
    """Return the `KaggleError` that explains a failed request."""
    if isinstance(error, requests.HTTPError):
        return _explain_status(doing, error)
    if isinstance(error, requests.JSONDecodeError):
        return UnreachableError(f"{doing}: {_NO_JSON}")
    if isinstance(error, requests.Timeout):
        return UnreachableError(f"{doing}: Kaggle did not answer in time; try again later")
    if isinstance(error, requests.exceptions.SSLError | requests.exceptions.ProxyError):
        return UnreachableError(f"{doing}: no safe connection ({to_line(error)[:200]})")
    if isinstance(error, requests.ConnectionError):
        return UnreachableError(
            f"{doing}: no network connection to {_host_of(error)}; check that it can be reached "
            "from here (in a Kaggle notebook: switch the internet on)"
        )
    return UnreachableError(
        f"{doing}: the connection broke off ({type(error).__name__}); what has arrived is kept, "
        "run the same command again"
    )


def status_of(error: Exception) -> int | None:
    """Return the HTTP status of a failed request; None if there was no response."""
    response = getattr(error, "response", None)
    return None if response is None else int(response.status_code)


def to_line(text: object) -> str:
    """Join the words of a text into one line."""
    return " ".join(str(text).split())


def _host_of(error: requests.RequestException) -> str:
    url = getattr(error.request, "url", None) or "Kaggle"
    return url.split("/")[2] if "//" in url else url


def _explain_status(doing: str, error: requests.HTTPError) -> KaggleError:
    status = status_of(error) or 0
    advice = _ADVICE.get(status, "Kaggle has trouble of its own; try again later")
    kind = NotThereError if status in (403, 404) else KaggleError
    if status == 429 or status >= 500:
        kind = UnreachableError
    return kind(f"{doing}: HTTP {status}{_message_of(error)}: {advice}")


def _message_of(error: requests.HTTPError) -> str:
    try:
        message = error.response.json()["message"]  # type: ignore[union-attr]
    except (AttributeError, KeyError, TypeError, ValueError):
        return ""
    return f" ({to_line(message)[:200]})" if message else ""

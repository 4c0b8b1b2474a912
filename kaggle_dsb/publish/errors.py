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
    401: f"invalid or expired credentials; create new ones at {TOKEN_PAGE}",
    403: f"not allowed; accept the competition's rules at {RULES_PAGE}, or check the owner",
    404: "not found; check the name and your access",
    409: "conflict; wait for an earlier upload to finish, or use another name",
    429: "too many requests; try again in a few minutes",
}
_NO_JSON = "Kaggle's reply is not JSON, perhaps a proxy's or a maintenance page; try again later"


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
        return UnreachableError(f"{doing}: no secure connection ({to_line(error)[:200]})")
    if isinstance(error, requests.ConnectionError):
        return UnreachableError(
            f"{doing}: no network connection to {_host_of(error)}; check the connection (in a "
            "Kaggle notebook, turn the internet on)"
        )
    return UnreachableError(
        f"{doing}: the connection was lost ({type(error).__name__}); run the same command again"
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
    advice = _ADVICE.get(status, "Kaggle has a problem on its side; try again later")
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

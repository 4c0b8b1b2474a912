"""Locate the credentials of Kaggle's client; the secrets are never stored or shown."""

import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from kaggle_dsb.files import InputError, read_json

TOKEN_PAGE = "https://www.kaggle.com/settings/api"
PLACES = (
    "KAGGLE_API_TOKEN, ~/.kaggle/access_token, KAGGLE_USERNAME with KAGGLE_KEY, kaggle.json, "
    "~/.kaggle/credentials.json (as `kaggle auth login` writes it)"
)


@dataclass(frozen=True)
class Credentials:
    """The location of credentials, not their content.

    Attributes
    ----------
    place : str
        Environment variable or file, as named in messages.
    file : Path or None
        The file, if it is one.
    """

    place: str
    file: Path | None = None

    def others_may_read(self) -> bool:
        """Return whether other users of this computer may read the file."""
        if self.file is None or os.name == "nt":
            return False
        return bool(self.file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


def find_credentials() -> Credentials | None:
    """Find the first credentials in the client's search order; None if there are none."""
    home = Path.home() / ".kaggle"
    if os.environ.get("KAGGLE_API_TOKEN"):
        return Credentials("KAGGLE_API_TOKEN")
    for name in ("access_token", "access_token.txt"):
        if _holds_text(home / name):
            return Credentials(str(home / name), home / name)
    if os.environ.get("KAGGLE_USERNAME") and os.environ.get("KAGGLE_KEY"):
        return Credentials("KAGGLE_USERNAME and KAGGLE_KEY")
    key = find_config_folder() / "kaggle.json"
    if _read_username(key):
        return Credentials(str(key), key)
    login = home / "credentials.json"
    return Credentials(str(login), login) if _holds_text(login) else None


def find_config_folder() -> Path:
    """Return the folder in which the client looks for ``kaggle.json``."""
    named = os.environ.get("KAGGLE_CONFIG_DIR")
    old = Path.home() / ".kaggle"
    if named or old.exists() or not sys.platform.startswith("linux"):
        return Path(named) if named else old
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "kaggle"


def warn_if_readable(credentials: Credentials) -> None:
    """Warn on stderr if other users may read the credentials, and how to prevent it."""
    if credentials.others_may_read():
        print(
            f"warning: {credentials.file}: other users of this computer can read your Kaggle "
            f"credentials; run `chmod 600 {credentials.file}`",
            file=sys.stderr,
        )


def _holds_text(path: Path) -> bool:
    try:
        return bool(path.read_text().strip())
    except (OSError, UnicodeDecodeError):
        return False


def _read_username(path: Path) -> str | None:
    try:
        values = read_json(path)
    except InputError:
        return None
    complete = values.get("username") and values.get("key")
    return str(values["username"]) if complete else None

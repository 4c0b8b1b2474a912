"""What every test relies on: no network, no surprise from a busy machine."""

import os
from pathlib import Path

from hypothesis import settings

# The graphs of the tests' own networks, made once for all sessions of a checkout.
os.environ["XDG_CACHE_HOME"] = str(Path(__file__).resolve().parents[1] / "build" / "test-cache")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

"""What every test relies on: no network, no surprise from a busy machine."""

import os

from hypothesis import settings

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

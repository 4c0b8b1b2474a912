"""Everything that communicates with Kaggle."""

from pathlib import Path
from typing import Literal

COMPETITION = "data-science-bowl-2018"
BUNDLE_FOLDER = Path("build/bundle")
Hardware = Literal["gpu", "cpu"]

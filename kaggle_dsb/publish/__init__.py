"""Everything that communicates with Kaggle."""

from typing import Literal

COMPETITION = "data-science-bowl-2018"
Hardware = Literal["gpu", "cpu"]

"""Everything that talks to Kaggle."""

COMPETITION = "data-science-bowl-2018"

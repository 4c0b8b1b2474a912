"""Everything that talks to Kaggle."""

"""Find the nuclei: a toolkit for Kaggle's 2018 Data Science Bowl."""

__version__ = "0.1.0"

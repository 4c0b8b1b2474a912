"""Run the command line as ``python -m kaggle_dsb``."""

from kaggle_dsb.cli import main

main()

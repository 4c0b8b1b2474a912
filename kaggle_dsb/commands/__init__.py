"""The verbs of the command line as library functions."""

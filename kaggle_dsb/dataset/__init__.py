"""The competition's files, from zips to samples and folds."""

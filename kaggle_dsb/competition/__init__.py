"""The competition's rules: run-length encoding, label images, submissions and the score."""

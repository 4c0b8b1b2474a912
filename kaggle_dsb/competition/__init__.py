"""The competition's rules: run lengths, label images, submissions and the score."""

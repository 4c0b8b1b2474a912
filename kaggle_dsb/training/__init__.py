"""Training of the networks: the only package that uses Lightning and albumentations."""

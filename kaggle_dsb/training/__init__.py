"""Training the networks: the only room that knows Lightning and albumentations."""

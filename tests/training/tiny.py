"""Settings of a training that lasts a second."""

from kaggle_dsb.config import Settings, load_settings

TINY = [
    "network.decoder_channels=[16, 8, 8, 8, 8]",
    "augment.crop_px=64",
    "training.epochs=2",
    "training.crops_per_epoch=8",
    "training.batch_size=4",
    "training.validate_every_epochs=1",
    "hardware.threads=1",
]


def tiny(*more: str) -> Settings:
    return load_settings(overrides=[*TINY, *more])

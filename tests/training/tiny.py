"""Data and settings of a training that lasts a second."""

from kaggle_dsb.config import Settings
from kaggle_dsb.dataset.demo import make_image
from kaggle_dsb.dataset.samples import Sample
from kaggle_dsb.settings_files import load_settings
from kaggle_dsb.training.sources import FoldData

TINY = [
    "network.encoder_name=tu-test_efficientnet",
    "network.encoder_weights=",
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


def make_samples() -> list[Sample]:
    made = [make_image(look, look=look) for look in (0, 1, 4, 7)]
    return [Sample(f"i{n}", i[:96, :96], x[:96, :96]) for n, (i, x) in enumerate(made)]


def make_data() -> FoldData:
    samples = make_samples()
    return FoldData(samples[1:], [0.62, 0.3, 0.08], samples[:1])

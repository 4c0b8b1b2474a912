"""Files that find no room are told by name, whichever library writes them."""

import resource
import signal

import numpy as np
import pytest
import torch

from kaggle_dsb.config import NetworkSettings, Settings
from kaggle_dsb.instances.forest import Forest
from kaggle_dsb.instances.probability import save_probability
from kaggle_dsb.instances.scorer import CandidateScorer
from kaggle_dsb.network.model import NucleusNet, save_network
from kaggle_dsb.training.callbacks import FoldCheckpointIO

TINY = NetworkSettings(
    encoder_name="resnet18", encoder_weights=None, decoder_channels=(8, 8, 8, 8, 8)
)
FOREST = Forest(
    feature=np.full(999, -1, np.int16),
    threshold=np.zeros(999),
    left=np.zeros(999, np.int32),
    right=np.zeros(999, np.int32),
    value=np.zeros(999, np.float32),
    start=np.zeros(1, np.int32),
    base=np.zeros(1, np.float32),
)


def write_network(path):
    save_network(path, NucleusNet(TINY, pretrained=False), Settings(network=TINY))


WRITERS = {
    "network": write_network,
    "candidate scorer": CandidateScorer(FOREST).save,
    "checkpoint": lambda path: FoldCheckpointIO().save_checkpoint(
        {"state_dict": {"weight": torch.zeros(9999)}}, path
    ),
    "probability": lambda path: save_probability(path, np.zeros((1, 3, 99, 99), np.float32)),
}


@pytest.fixture
def no_room(monkeypatch):
    """Let no file grow beyond 2,000 bytes, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("what", sorted(WRITERS))
def test_a_file_without_room_is_told_by_name_and_the_earlier_one_stays(tmp_path, no_room, what):
    path = tmp_path / "kept.npy"
    path.write_text("earlier")
    with pytest.raises(OSError, match="File too large") as raised:
        WRITERS[what](path)
    assert raised.value.filename == str(path)
    assert [found.name for found in tmp_path.iterdir()] == ["kept.npy"]
    assert path.read_text() == "earlier"

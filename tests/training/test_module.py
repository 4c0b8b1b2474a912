"""What a network learns from a teacher beside the truth."""

import pytest
import torch
from torch import nn

from kaggle_dsb.training import module as training
from kaggle_dsb.training.module import SegmentationModule
from tests.training.tiny import tiny


class Same(nn.Module):
    """A teacher that says the same of every pixel."""

    def __init__(self, probability):
        super().__init__()
        self.logit = nn.Parameter(torch.logit(torch.tensor(probability)))

    def forward(self, images):
        return self.logit.expand(len(images), 3, *images.shape[2:])


def targets_of_steps(monkeypatch, teachers, *overrides, n_steps=4):
    """Return the mean target of each step whose true targets are 1."""
    seen = []
    monkeypatch.setattr(
        training,
        "segmentation_loss",
        lambda logits, targets: seen.append(targets.mean().item()) or logits.mean(),
    )
    module = SegmentationModule(tiny(*overrides), pretrained=False, teachers=teachers)
    monkeypatch.setattr(module, "log", lambda *_, **__: None)
    module.trainer = type("Trainer", (), {"world_size": 1})()
    batch = torch.zeros(2, 3, 32, 32, dtype=torch.uint8), torch.ones(2, 3, 32, 32)
    for number in range(n_steps):
        module.training_step(batch, number)
    return seen


def test_teachers_take_turns_in_their_share_of_the_targets(monkeypatch):
    teachers = [Same(0.5), Same(0.1)]
    for share, expected in [(0, [1, 1]), (0.5, [0.75, 0.55]), (1, [0.5, 0.1])]:
        seen = targets_of_steps(monkeypatch, teachers, f"training.teacher_share={share}")
        assert seen == pytest.approx(expected * 2)


def test_without_a_teacher_the_targets_are_the_truth(monkeypatch):
    assert targets_of_steps(monkeypatch, []) == [1] * 4


def test_a_teacher_is_neither_trained_nor_kept():
    module = SegmentationModule(tiny(), pretrained=False, teachers=[Same(0.5)])
    names = [name for name, _ in module.named_parameters()]
    assert names
    assert all(name.startswith("network.") for name in names)
    assert not any("logit" in name for name in module.state_dict())

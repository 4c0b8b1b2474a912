import pytest
import torch

from kaggle_dsb.training.losses import dice_loss, segmentation_loss


def test_the_loss_falls_to_nothing_as_the_logits_come_right():
    targets = torch.zeros(2, 3, 8, 8)
    targets[:, :, 2:5, 2:5] = 1
    right, wrong = (targets * 2 - 1) * 20, (1 - targets * 2) * 20
    unsure = torch.zeros_like(targets)
    losses = [float(segmentation_loss(x, targets)) for x in (right, unsure, wrong)]
    assert losses[0] < 0.01
    assert losses == sorted(losses)


def test_the_dice_loss_is_the_mean_over_channels_of_one_less_the_overlap_of_the_batch():
    targets = torch.zeros(2, 2, 1, 4)
    targets[0, 0] = 1
    targets[1, 1, 0, :2] = 1
    logits = torch.full((2, 2, 1, 4), -50.0)
    logits[0, 0, 0, :2] = 50  # two of four pixels found
    logits[1, 1, 0, :4] = 50  # two found and two too many
    expected = ((1 - (2 * 2 + 1) / (2 + 4 + 1)) + (1 - (2 * 2 + 1) / (4 + 2 + 1))) / 2
    assert float(dice_loss(logits, targets)) == pytest.approx(expected)


def test_the_depth_channel_counts_in_the_cross_entropy_only():
    targets = torch.zeros(1, 3, 4, 4)
    targets[:, 2] = 0.5
    logits = torch.full_like(targets, -50.0)
    logits[:, 2] = 0
    expected = torch.log(torch.tensor(2.0)) / 3
    assert float(segmentation_loss(logits, targets)) == pytest.approx(float(expected), abs=1e-5)

"""Train the patch networks of `kaggle_dsb.instances.patch_network` with torch."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kaggle_dsb.aliases import Progress
from kaggle_dsb.instances.features import FEATURES
from kaggle_dsb.instances.patch_network import (
    STRIDES,
    PatchNetwork,
    normalise_patches,
    standardise,
)
from kaggle_dsb.instances.patches import (
    COLOUR_CHANNELS,
    GREY_CHANNEL,
    MASK_CHANNEL,
    PATCH_CHANNELS,
    Patches,
)
from kaggle_dsb.instances.scorer import CandidateScorer, predict_quality
from kaggle_dsb.instances.tuning import Described

WIDTHS = (16, 24, 32, 32, 48, 48)
N_HIDDEN = 96
DROPOUT = 0.2

DRAWS_PER_CANDIDATE = 4  # on average
LEAST_STEPS, MOST_STEPS = 10, 2500
PATCHES_PER_STEP = 128
LEARNING_RATE, WEIGHT_DECAY = 3e-3, 1e-2
EMA_DECAY = 0.998

GAMMA, SATURATION, HUE = 0.5, 0.4, 0.1
BLANK_CHANNEL, BLANK_COLOURS = 0.2, 0.15
"""Probabilities that a channel, but for the mask, or both colours of a patch are blanked."""
FEATURE_NOISE = 0.3  # standard deviations


class _Network(nn.Module):
    """What `PatchNetwork` computes, with batch normalisation after each convolution."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        pairs = pairwise((len(PATCH_CHANNELS), *WIDTHS))
        for (n_in, n_out), stride in zip(pairs, STRIDES, strict=True):
            convolution = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
            layers += [convolution, nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)]
        self.convolutions = nn.Sequential(*layers)
        self.hidden = nn.Linear(WIDTHS[-1] + len(FEATURES), N_HIDDEN)
        self.dropout = nn.Dropout(DROPOUT)
        self.output = nn.Linear(N_HIDDEN, 1)

    def forward(self, pixels: Tensor, features: Tensor) -> Tensor:
        """Return the quality (n,) for pixels (n, 8, 32, 32) and standardised features."""
        pooled = self.convolutions(pixels).mean((2, 3))
        hidden = torch.relu(self.hidden(torch.cat([pooled, features], 1)))
        quality: Tensor = torch.sigmoid(self.output(self.dropout(hidden))).squeeze(1)
        return quality


def add_networks(
    scorers: Mapping[int, CandidateScorer],
    folds: Sequence[int],
    described: Sequence[Described],
    *,
    weights: Sequence[float],
    seed: int,
    progress: Progress,
) -> dict[int, CandidateScorer]:
    """Add a patch network to the scorer of each fold, if quality is then predicted better.

    Parameters
    ----------
    scorers : mapping of int to CandidateScorer
        The scorer of each fold, trained on the images of all other folds.
    folds : sequence of int
        The fold of each image.
    described : sequence of Described
        The candidates of each image.
    weights : sequence of float
        The weight of each image, whatever its number of candidates.
    seed : int
    progress : callable
        Called with the number of training steps done and their total number.

    Returns
    -------
    dict of int to CandidateScorer
        With networks, if they lower the weighted squared error on the held-out images of all folds
        together, else without.
    """
    seen_by = {
        fold: [n for n, own in enumerate(folds) if own != fold and described[n].quality.size]
        for fold in scorers
    }
    n_steps = sum(_count_steps([described[n] for n in seen]) for seen in seen_by.values())
    with_networks, errors, done_before = {}, np.zeros(2), 0
    for fold, scorer in scorers.items():
        seen = [described[n] for n in seen_by[fold]]
        network = train_patch_network(
            seen,
            weights=[weights[n] for n in seen_by[fold]],
            seed=seed,
            progress=partial(_show_part, progress, done_before, n_steps),
        )
        done_before += _count_steps(seen)
        with_networks[fold] = replace(scorer, network=network)
        held_out = [n for n, own in enumerate(folds) if own == fold and described[n].quality.size]
        for n in held_out:
            of_both = [_squared_error(s, described[n]) for s in (scorer, with_networks[fold])]
            errors += weights[n] * np.array(of_both)
    return with_networks if errors[1] < errors[0] else dict(scorers)


def _show_part(progress: Progress, done_before: int, n_steps: int, done: int, _: int) -> None:
    progress(done_before + done, n_steps)


def _count_steps(described: Sequence[Described]) -> int:
    n_candidates = sum(of_image.quality.size for of_image in described)
    steps = -(-DRAWS_PER_CANDIDATE * n_candidates // PATCHES_PER_STEP)
    return min(max(steps, LEAST_STEPS), MOST_STEPS)


def _squared_error(scorer: CandidateScorer, of_image: Described) -> float:
    """Return the mean squared error of the quality that a scorer predicts."""
    features, patches, quality = of_image
    predicted = predict_quality([scorer], features, partial(np.take, patches, axis=0))
    return float(np.mean((predicted - quality) ** 2))


def train_patch_network(
    described: Sequence[Described], *, weights: Sequence[float], seed: int, progress: Progress
) -> PatchNetwork:
    """Train a patch network on the candidates of a set of images.

    Parameters
    ----------
    described : sequence of Described
        Each image has at least one candidate.
    weights, seed, progress
        As for `add_networks`.

    Notes
    -----
    Channels and features are blanked and disturbed at random: else a network learns the sources it
    is trained on, and fails on others.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _Network().to(memory_format=torch.channels_last)
        sampler = _Sampler(described, weights=weights, seed=seed)
        mean = _train(network, sampler, steps=_count_steps(described), progress=progress)
    return _to_arrays(mean.eval(), sampler.centre, sampler.scale)


class _Sampler:
    """Draws random candidates, disturbed at random; each image as often as its weight says."""

    def __init__(
        self, described: Sequence[Described], *, weights: Sequence[float], seed: int
    ) -> None:
        self._described = described
        self._rng = np.random.default_rng(seed)
        sizes = np.array([of_image.quality.size for of_image in described])
        self._share = np.array(weights) / np.sum(weights)
        of_candidates = np.repeat(self._share / sizes, sizes)
        table = np.concatenate([of_image.features for of_image in described])
        mean = np.average(table, axis=0, weights=of_candidates)
        variance = np.average((table - mean) ** 2, axis=0, weights=of_candidates)
        self.centre = mean.astype(np.float32)
        self.scale = (np.sqrt(variance) + 1e-3).astype(np.float32)

    def draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the pixels, the features and the quality of a batch."""
        images = self._rng.choice(self._share.size, PATCHES_PER_STEP, p=self._share)
        chosen = [self._described[n] for n in images.tolist()]
        rows = [int(self._rng.integers(of_image.quality.size)) for of_image in chosen]
        features, patches, quality = (
            np.stack([part[row] for part, row in zip(parts, rows, strict=True)])
            for parts in zip(*chosen, strict=True)
        )
        standard = standardise(features, self.centre, self.scale)
        noise = self._rng.normal(0, FEATURE_NOISE, features.shape).astype(np.float32)
        return (
            torch.from_numpy(self._disturb(patches)).permute(0, 3, 1, 2),
            torch.from_numpy(standard + noise),
            torch.from_numpy(quality.astype(np.float32)),
        )

    def _disturb(self, patches: Patches) -> NDArray[np.float32]:
        """Flip and turn patches; change their brightness and colours; blank channels."""
        rng, n = self._rng, len(patches)
        flips = tuple(axis for axis in (1, 2) if rng.random() < 0.5)
        pixels = normalise_patches(np.flip(patches, flips))
        if rng.random() < 0.5:
            pixels = pixels.transpose(0, 2, 1, 3)
        pixels = np.ascontiguousarray(pixels)
        light = np.maximum(pixels[..., GREY_CHANNEL] + 1, 1e-3) / 2
        pixels[..., GREY_CHANNEL] = 2 * light ** np.exp(rng.uniform(-GAMMA, GAMMA, (n, 1, 1))) - 1
        pixels[..., COLOUR_CHANNELS] *= rng.uniform(1 - SATURATION, 1 + SATURATION, (n, 1, 1, 1))
        pixels[..., COLOUR_CHANNELS] += rng.uniform(-2 * HUE, 2 * HUE, (n, 1, 1, 2))
        is_blank = rng.random((n, 1, 1, len(PATCH_CHANNELS))) < BLANK_CHANNEL
        is_blank[..., MASK_CHANNEL] = False
        is_blank[..., COLOUR_CHANNELS] |= rng.random((n, 1, 1, 1)) < BLANK_COLOURS
        pixels *= ~is_blank
        return pixels


def _train(network: _Network, sampler: _Sampler, *, steps: int, progress: Progress) -> _Network:
    """Train a network, and return the exponential moving average of its weights."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, LEARNING_RATE, total_steps=steps, pct_start=0.2
    )
    mean = copy.deepcopy(network)
    network.train()
    for step in range(steps):
        pixels, features, quality = sampler.draw()
        loss = torch.mean((network(pixels, features) - quality) ** 2)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        # At first the mean is over fewer steps, so that it forgets the random start.
        _move_towards(mean, network, 1 - min(EMA_DECAY, (step + 1) / (step + 10)))
        progress(step + 1, steps)
    return mean


@torch.no_grad()
def _move_towards(mean: _Network, network: _Network, share: float) -> None:
    """Move the weights and statistics of a network towards those of another by a share."""
    for average, value in zip(
        mean.state_dict().values(), network.state_dict().values(), strict=True
    ):
        if average.is_floating_point():
            average.lerp_(value, share)


def _to_arrays(
    network: _Network, centre: NDArray[np.float32], scale: NDArray[np.float32]
) -> PatchNetwork:
    """Return a trained network as arrays, batch normalisation merged into the convolutions."""
    convolutions = []
    for convolution, norm in zip(
        network.convolutions[::3], network.convolutions[1::3], strict=True
    ):
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        fused = nn.utils.fusion.fuse_conv_bn_eval(convolution, norm)
        assert fused.bias is not None
        by_window = fused.weight.permute(2, 3, 1, 0).flatten(0, 2)
        convolutions.append((_array(by_window), _array(fused.bias)))
    hidden, output = (
        (_array(dense.weight.T), _array(dense.bias)) for dense in (network.hidden, network.output)
    )
    return PatchNetwork(convolutions, hidden, output, centre, scale)


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensor.detach().numpy())

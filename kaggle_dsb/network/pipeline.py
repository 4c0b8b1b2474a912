"""Overlap reading and post-processing of images with the networks, in bounded memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from itertools import tee
from typing import Any, TypeVar

from kaggle_dsb.dataset.samples import Sample
from kaggle_dsb.network.predict import Predictor, Probability

Result = TypeVar("Result")


def run_ahead(
    executor: Executor,
    function: Callable[..., Result],
    calls: Iterable[tuple[Any, ...]],
    ahead: int,
) -> Iterator[Result]:
    """Yield the results of calls of a function in order, with at most ``ahead`` pending.

    Parameters
    ----------
    executor : Executor
        Runs the calls.
    function : callable
    calls : iterable of tuple
        The arguments of each call, consumed lazily.
    ahead : int
    """
    pending: deque[Future[Result]] = deque()
    for arguments in calls:
        pending.append(executor.submit(function, *arguments))
        if len(pending) > ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def predict_samples(
    predictor: Predictor, samples: Iterable[Sample]
) -> Iterator[tuple[Sample, Probability]]:
    """Yield each sample with its probability; samples are consumed lazily."""
    kept, taken = tee(samples)
    return zip(kept, predictor.predict(sample.image for sample in taken), strict=True)

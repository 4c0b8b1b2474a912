"""Read and cut images into nuclei while the networks compute others, in bounded memory."""

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
    """Yield the results of calls of a function in order, with at most ``ahead`` under way.

    Parameters
    ----------
    executor : Executor
        Makes the calls.
    function : callable
    calls : iterable of tuple
        The arguments of each; taken as they are needed.
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
    """Yield each sample with its probability, taking samples as they are needed."""
    kept, taken = tee(samples)
    return zip(kept, predictor.predict(sample.image for sample in taken), strict=True)

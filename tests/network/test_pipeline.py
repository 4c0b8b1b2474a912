from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from kaggle_dsb.dataset.samples import Sample
from kaggle_dsb.network.pipeline import predict_samples, run_ahead


def test_calls_are_made_ahead_in_order_and_only_so_many():
    taken, done = [], []

    def calls():
        for number in range(20):
            taken.append(number)
            yield (number,)

    with ThreadPoolExecutor(3) as executor:
        for result in run_ahead(executor, lambda number: number**2, calls(), ahead=4):
            done.append(result)
            assert len(taken) <= len(done) + 4
    assert done == [number**2 for number in range(20)]


def test_the_error_of_a_call_is_raised():
    with ThreadPoolExecutor(1) as executor, pytest.raises(ZeroDivisionError):
        list(run_ahead(executor, lambda number: 1 // number, [(1,), (0,)], ahead=1))


def test_each_sample_comes_with_its_own_probability_and_none_is_taken_early():
    class Dimmer:
        def predict(self, images):
            for image in images:
                yield image / 255

    taken = []

    def samples():
        for number in range(4):
            taken.append(number)
            yield Sample(str(number), np.full((2, 2, 3), number, np.uint8), None)

    for number, (sample, probability) in enumerate(predict_samples(Dimmer(), samples())):
        assert sample.id == str(number)
        assert (probability == number / 255).all()
        assert taken[-1] == number

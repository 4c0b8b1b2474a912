import pytest

from tests.report.examples import N_PICTURES, make_picture


@pytest.fixture(scope="session")
def pictures():
    return [make_picture(number) for number in range(N_PICTURES)]

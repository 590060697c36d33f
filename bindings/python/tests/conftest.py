import pytest

import gyr


@pytest.fixture(scope="session")
def runtime():
    return gyr.Runtime(threads=2)

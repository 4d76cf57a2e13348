"""The worker's pools, for tests in which it matters which one it is."""

from typing import Final

import pytest

THREADS: Final = ("-P", "threads", "-c", "8")
PREFORK: Final = ("-P", "prefork", "-c", "3")
POOLS: Final = pytest.mark.parametrize(
    "pool", [pytest.param(THREADS, id="threads"), pytest.param(PREFORK, id="prefork")]
)

POOLS_OF_WHICH_ONE_IS_CORE: Final = pytest.mark.parametrize(
    "pool", [pytest.param(THREADS, id="threads", marks=pytest.mark.core), pytest.param(PREFORK, id="prefork")]
)

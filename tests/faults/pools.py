"""The worker's pools (the group pool is the default), for tests in which it matters which one it is."""

from typing import Final

import pytest

GROUP: Final = ()
THREADS: Final = ("-P", "threads", "-c", "8")
PREFORK: Final = ("-P", "processes", "-c", "3")
POOLS: Final = pytest.mark.parametrize(
    "pool",
    [pytest.param(GROUP, id="group"), pytest.param(THREADS, id="threads"), pytest.param(PREFORK, id="prefork")],
)

POOLS_OF_WHICH_ONE_IS_CORE: Final = pytest.mark.parametrize(
    "pool",
    [
        pytest.param(GROUP, id="group", marks=pytest.mark.core),
        pytest.param(THREADS, id="threads"),
        pytest.param(PREFORK, id="prefork"),
    ],
)

"""The worker's pools (the group pool is the default), for tests in which it matters which one it is."""

from collections.abc import Sequence
from typing import Final

import pytest

GROUP: Final[tuple[str, ...]] = ()
THREADS: Final = ("-P", "threads", "-c", "8")
PREFORK: Final = ("-P", "processes", "-c", "3")
SOLO: Final = ("-P", "solo")
POOLS: Final = pytest.mark.parametrize(
    "pool",
    [pytest.param(GROUP, id="group"), pytest.param(THREADS, id="threads"), pytest.param(PREFORK, id="prefork")],
)

POOLS_WHERE_A_SERVER_FAILS: Final = pytest.mark.parametrize(
    "pool",
    [
        pytest.param(GROUP, id="group"),
        pytest.param(THREADS, id="threads", marks=pytest.mark.threads_as_well),
        pytest.param(PREFORK, id="prefork"),
    ],
)
"""Threads run the code of prefork's processes, and in one process as the group pool does: CI leaves them out."""

CELERYS_POOLS: Final = pytest.mark.parametrize(
    "pool", [pytest.param(THREADS, id="threads"), pytest.param(PREFORK, id="prefork")]
)
"""Without the group pool, which fetches whatever a small load leaves in the queue."""

POOLS_OF_WHICH_ONE_IS_CORE: Final = pytest.mark.parametrize(
    "pool",
    [
        pytest.param(GROUP, id="group", marks=pytest.mark.core),
        pytest.param(THREADS, id="threads"),
        pytest.param(PREFORK, id="prefork"),
    ],
)


def name_of(pool: Sequence[str]) -> str:
    """What the pool is called in the figures."""
    return {GROUP: "group", THREADS: "threads", PREFORK: "prefork", SOLO: "solo"}[tuple(pool)]


def long_run(pool: Sequence[str]) -> tuple[int, int]:
    """How many changes of how many products keep a worker busy for seconds."""
    return (12_000, 8_000) if tuple(pool) == GROUP else (1_500, 1_000)

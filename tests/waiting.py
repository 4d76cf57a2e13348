"""Waiting in tests: for a condition with a deadline, never for a while."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

import psutil

T = TypeVar("T")

POLL_S: Final = 0.02
REST: Final = 9.0
REST_MAX_S: Final = 1.0
"""Who looks takes the machine from what he waits for: the pause is nine times what a look has cost, up to a second."""

DEADLINE_S: Final = 180.0
"""It only bounds a failure: what takes a second takes a minute where sixteen others want the two cores."""


def wait_until(condition: Callable[[], T | None], *, deadline_s: float = DEADLINE_S, what: str = "the condition") -> T:
    """Return the first truthy answer of ``condition``; past the deadline an AssertionError that names ``what``."""
    end = time.monotonic() + deadline_s
    while True:
        begun = time.thread_time()
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {deadline_s:g} s (last answer: {answer!r})")
        time.sleep(max(POLL_S, min(REST * (time.thread_time() - begun), REST_MAX_S)))


def gone(pid: int) -> bool:
    """Whether there is no such process, or only its zombie."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True

"""Waiting in tests: for a condition with a deadline, never for a while."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], *, deadline_s: float = 30.0, what: str = "the condition") -> T:
    """Return the first truthy answer of ``condition``; past the deadline an AssertionError that names ``what``."""
    end = time.monotonic() + deadline_s
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {deadline_s:g} s (last answer: {answer!r})")
        time.sleep(0.01)

"""Loaded first into a process under libfaketime: ``time.sleep``, which Python 3.11 and later cannot do there, works.

It sleeps until a time of the monotonic clock (clock_nanosleep), which libfaketime 0.9.10 takes for one of the faked
clock, and fails with EINVAL. A lock waits by another call, sem_clockwait, which libfaketime leaves alone.
"""

import threading
import time
from typing import SupportsIndex


def _sleep(seconds: float | SupportsIndex, /) -> None:
    threading.Event().wait(float(seconds))


time.sleep = _sleep

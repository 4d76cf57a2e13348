"""What a worker of these tests loads besides (``--include``): products that are its end, or always an error.

It happens in the cache, before its first read or write, or with the product's lock held: not what these tests are
about.
"""

import os
import signal
from collections.abc import Sequence

from lastword.cache.cache import Cache, Standing, Write, Written
from lastword.contract.record import Update

KILLS = "kills-"
KILLS_LATE = "kills late-"
RAISES = "raises-"

_holds, _write = Cache.holds, Cache.write


def _poison(updates: Sequence[Update]) -> None:
    for update in updates:
        if update.entity_id.startswith(KILLS):
            os.kill(os.getpid(), signal.SIGKILL)
        if update.entity_id.startswith(RAISES):
            raise RuntimeError("nobody foresaw this")


def _poisoned(cache: Cache, updates: Sequence[Update]) -> list[Standing]:
    _poison(updates)
    return _holds(cache, updates)


def _poisoned_late(cache: Cache, writes: Sequence[Write]) -> list[Written]:
    if any(write.update.entity_id.startswith(KILLS_LATE) for write in writes):
        os.kill(os.getpid(), signal.SIGKILL)
    _poison([write.update for write in writes])  # a group may begin with the write
    return _write(cache, writes)


Cache.holds = _poisoned  # type: ignore[assignment, method-assign]
Cache.write = _poisoned_late  # type: ignore[assignment, method-assign]

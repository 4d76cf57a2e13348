"""What workers and bridges say of a broker that does not serve."""

import re
from typing import Final

from tests.flow import Bridge
from tests.waiting import wait_until
from tests.worker_helpers import CeleryWorker

LOST = "Connection to broker lost"
SERVES = "the broker serves again"
UNCERTAIN = "it is not certain that the Celery broker took"
SWALLOWED: Final = re.compile(
    r"Exception ignored in((?!Traceback).)*Traceback((?!Traceback|ERROR/).)*?\] SystemExit$", re.DOTALL | re.MULTILINE
)
"""What Python says where the signal that ends a worker's process finds it in a callback, of a weak reference or the
like, which cannot raise. The process goes on, and the next signal ends it.
"""


class Heard:
    """What the logs have said so far."""

    def __init__(self, *parties: CeleryWorker | Bridge) -> None:
        self._logs = {party: party.log for party in parties}

    def again(self, party: CeleryWorker | Bridge, said: str) -> None:
        """Return when the party has said it once more; it runs all the while."""
        before = self._logs[party].count(said)

        def heard() -> bool:
            assert party.exit_code is None, f"ended with exit code {party.exit_code}"
            return party.log.count(said) > before

        wait_until(heard, what=f"{said!r} in the log")


def no_traceback(*parties: CeleryWorker | Bridge) -> None:
    """AssertionError, with the lines around it, if one of them has logged a traceback."""
    for party in parties:
        before, found, after = SWALLOWED.sub("", party.log).partition("Traceback")
        assert not found, f"{before[-1_000:]}{found}{after[:3_000]}"

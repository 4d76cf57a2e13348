"""Who may work in this process at the same time: many together, or one alone."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from lastword.contract.errors import NotAloneError


class Gate:
    """Lets threads in together, or one alone: it waits until the others have left, and they wait until it has.

    Nobody waits for ever, lest one that hangs stop the whole process: whoever wants to be alone gives up after
    ``alone_wait_s``, and the others go in all the same after ``together_wait_s``. Threads are known by their idents:
    one that was thrown out in the middle of entering or leaving, by a time limit of Celery's, never keeps itself out.
    """

    def __init__(self, *, alone_wait_s: float = 10.0, together_wait_s: float = 30.0) -> None:
        self._alone_wait_s = alone_wait_s
        self._together_wait_s = together_wait_s
        self._changed = threading.Condition()
        self._together: set[int] = set()
        self._alone: set[int] = set()  # waiting to be alone, or being it: nobody else enters

    @contextmanager
    def together(self) -> Iterator[None]:
        """Be inside with any number of others."""
        me = threading.get_ident()
        with self._changed:
            self._changed.wait_for(lambda: not self._alone - {me}, self._together_wait_s)
            self._together.add(me)
        try:
            yield
        finally:
            self._leave(self._together, me)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be inside with nobody else; NotAloneError if somebody does not leave."""
        me = threading.get_ident()
        with self._changed:
            # One after the other asks, so that two who wait to be alone do not wait for each other.
            if not self._changed.wait_for(lambda: not self._alone - {me}, self._alone_wait_s):
                raise NotAloneError("another marked update is still running in this process")
            self._alone.add(me)
        try:
            with self._changed:
                if not self._changed.wait_for(lambda: not self._together - {me}, self._alone_wait_s):
                    raise NotAloneError("other updates are still running in this process")
            yield
        finally:
            self._leave(self._alone, me)

    def _leave(self, inside: set[int], me: int) -> None:
        with self._changed:
            inside.discard(me)
            self._changed.notify_all()

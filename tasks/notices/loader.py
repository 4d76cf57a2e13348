"""The user's own function that loads entities' rows, called with a deadline: ``load(product_ids) -> {id: row}``."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from queue import SimpleQueue
from typing import Any, Final

from lastword.contract.errors import LoaderFailedError, LoaderSlowError, LoaderUnavailableError, TransientError

logger = logging.getLogger(__name__)

Load = Callable[[list[str]], Mapping[str, Any]]

THREADS_MAX: Final = 16
"""How many calls may be under way; one that never returns keeps its thread."""

WAITING_MAX: Final = 4 * THREADS_MAX
"""How many calls may be under way or wait for a thread; another one has failed at once."""

HANGS_AFTER: Final = 10

UNAVAILABLE: Final = (OSError, TransientError)
"""What a loader raises when it is no entity's fault: retried for as long as it takes."""


class Loader:
    """Calls ``load`` in threads of its own, so that each call has a deadline. Thread-safe; made before a fork."""

    def __init__(self, load: Load, *, timeout_s: float) -> None:
        self._load = load
        self._timeout_s = timeout_s
        self._calls: SimpleQueue[Loading] = SimpleQueue()
        self._mutex = threading.Lock()
        self._threads = 0
        self._under_way: dict[Loading, None] = {}

    def begin(self, entity_ids: Sequence[str]) -> "Loading":
        """Have the rows of these entities loaded by one call, not waiting for it."""
        loading = Loading(self._load, entity_ids, self._timeout_s)
        with self._mutex:
            if len(self._under_way) >= WAITING_MAX:
                loading.end()
                return loading
            self._under_way[loading] = None
            if self._threads < min(len(self._under_way), THREADS_MAX):
                self._threads += 1
                threading.Thread(target=self._work, name="loader", daemon=True).start()
        self._calls.put(loading)
        return loading

    @property
    def busy(self) -> bool:
        """Whether a call goes on that is not past its deadline by far: that one hangs."""
        long_ago = time.monotonic() - HANGS_AFTER * self._timeout_s
        with self._mutex:
            return any(loading.until > long_ago for loading in self._under_way)

    def _work(self) -> None:
        while True:
            loading = self._calls.get()
            try:
                loading.run()
            finally:
                with self._mutex:
                    del self._under_way[loading]


class Loading:
    """Rows that are being loaded; ``rows()`` has them."""

    def __init__(self, load: Load, entity_ids: Sequence[str], timeout_s: float) -> None:
        self._load = load
        self._entity_ids = list(dict.fromkeys(entity_ids))
        self._timeout_s = timeout_s
        self.until = time.monotonic() + timeout_s
        self._told: dict[str, Any] = {}
        self._ended = threading.Event()
        self._mutex = threading.Lock()
        self._then: Callable[[], object] = lambda: None

    @property
    def answered(self) -> bool:
        """Whether ``rows()`` need not wait."""
        return self._ended.is_set() or time.monotonic() >= self.until

    def when_answered(self, call: Callable[[], object]) -> None:
        """Call this once, from any thread, when the loader has returned; never, where it does not."""
        with self._mutex:
            self._then = call
            ended = self._ended.is_set()
        if ended:
            call()

    def rows(self) -> dict[str, Any]:
        """Wait for the loader, no longer than to its deadline, and return by entity id what it told.

        An entity that it did not mention has None. Where it told nothing because it failed there stands an error:
        LoaderFailedError, LoaderUnavailableError, or LoaderSlowError past the deadline.
        """
        self._ended.wait(max(0.0, self.until - time.monotonic()))
        told = dict(self._told)
        return {entity_id: told[entity_id] if entity_id in told else self._slow() for entity_id in self._entity_ids}

    def run(self) -> None:
        """Call the loader, unless nobody waits any more."""
        try:
            self._load_all(self._entity_ids)
        finally:
            self.end()

    def end(self) -> None:
        """Say that there is nothing to wait for any more."""
        with self._mutex:
            self._ended.set()
            then = self._then
        then()

    def _load_all(self, entity_ids: list[str]) -> None:
        """Load these; where the loader fails with several, each half by itself: it may be the fault of one."""
        if time.monotonic() >= self.until:
            return
        try:
            rows = self._load(list(entity_ids))
            _refuse_unasked(rows, entity_ids)
            self._told |= {entity_id: rows.get(entity_id) for entity_id in entity_ids}
        except UNAVAILABLE as error:
            told = LoaderUnavailableError(f"the loader: {_said(error)}")
            self._told |= dict.fromkeys(entity_ids, told)
        except BaseException as error:  # noqa: BLE001 - the edge to the user's code, which may want to exit
            if len(entity_ids) == 1:
                failed = LoaderFailedError(f"the loader raised {_said(error)}")
                failed.__cause__ = error
                self._told[entity_ids[0]] = failed
            else:
                half = len(entity_ids) // 2
                self._load_all(entity_ids[:half])
                self._load_all(entity_ids[half:])

    def _slow(self) -> LoaderSlowError:
        return LoaderSlowError(f"the loader has not returned within {self._timeout_s:g} s")


def _refuse_unasked(rows: object, entity_ids: list[str]) -> None:
    """Else numbers in the place of texts, say, would look like rows that are all gone."""
    if not isinstance(rows, Mapping):
        raise TypeError(f"it returned {rows!r:.80}; wanted is a mapping from product ids to rows")
    for entity_id in rows.keys() - set(entity_ids):
        raise TypeError(f"it returned a row for {entity_id!r:.80}, which is none of the product ids it was given")


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__

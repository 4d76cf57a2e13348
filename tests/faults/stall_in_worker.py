"""Loaded into a worker (``-I``): one task stands still at a chosen point. See tests/faults/stall.py."""

import json
import os
import threading
import time
from collections.abc import Callable, Collection, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

from kazoo.interfaces import IAsyncResult

from lastword.cache.cache import Cache, Write, Written
from tasks.lock.grant import Grant
from tasks.lock.session import Session

_directory = Path(os.environ["STALL_DIRECTORY"])
_product = os.environ["STALL_PRODUCT"]
_here = threading.local()  # .stood: whether this thread is the one that stood still


def _stand_still(session: Session, entity_ids: Collection[str]) -> None:
    """The first task of the product that comes here says where it stands, and waits."""
    if _product not in entity_ids:
        return
    try:
        (_directory / "taken").touch(exist_ok=False)
    except FileExistsError:
        return
    number, password = session._client.client_id
    here = {"pid": os.getpid(), "session": number, "password": password.hex(), "guard": session._guard}
    _here.stood = True
    _note("standing", json.dumps(here))
    while not (_directory / "go").exists():
        time.sleep(0.005)


def _note(name: str, text: str) -> None:
    """Write a file that is there with all of its text or not at all."""
    (_directory / f"{name}.new").write_text(text, encoding="utf-8")
    (_directory / f"{name}.new").rename(_directory / name)


def _note_first(name: str, text: str) -> None:
    """Note it unless it is noted: the thread goes on to other tasks, a second copy of the same update among them."""
    if not (_directory / name).exists():
        _note(name, text)


def _before_acquire(create_locks: Callable[[Session, Sequence[str]], IAsyncResult]) -> Callable[..., IAsyncResult]:
    @wraps(create_locks)
    def stalled(self: Session, entity_ids: Sequence[str]) -> IAsyncResult:
        _stand_still(self, entity_ids)
        return create_locks(self, entity_ids)

    return stalled


def _before_write(check: Callable[[Grant], None]) -> Callable[[Grant], None]:
    @wraps(check)
    def stalled(self: Grant) -> None:
        check(self)
        _stand_still(self._session, self.tokens)

    return stalled


def _before_release(release: Callable[[Grant], None]) -> Callable[[Grant], None]:
    @wraps(release)
    def stalled(self: Grant) -> None:
        _stand_still(self._session, self.tokens)
        release(self)

    return stalled


def _noted_write(write: Callable[[Cache, Sequence[Write]], list[Written]]) -> Callable[..., list[Written]]:
    @wraps(write)
    def noted(self: Cache, writes: Sequence[Write]) -> list[Written]:
        answers = write(self, writes)
        if getattr(_here, "stood", False):
            _note_first("outcome", str(answers[0]))
        return answers

    return noted


def _noted_release(release: Callable[[Grant], None]) -> Callable[[Grant], None]:
    @wraps(release)
    def noted(self: Grant) -> None:
        release(self)
        if getattr(_here, "stood", False):
            _note_first("released", "")

    return noted


_POINTS: dict[str, tuple[type, str, Callable[..., Any]]] = {
    "before acquire": (Session, "create_locks", _before_acquire),
    "before write": (Grant, "check", _before_write),
    "before release": (Grant, "release", _before_release),
}

_kind, _method, _wrap = _POINTS[os.environ["STALL_AT"]]
setattr(_kind, _method, _wrap(getattr(_kind, _method)))
Cache.write = _noted_write(Cache.write)  # type: ignore[method-assign]
Grant.release = _noted_release(Grant.release)  # type: ignore[assignment,method-assign]

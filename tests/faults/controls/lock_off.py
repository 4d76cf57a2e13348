"""Every lock is granted at once, and ZooKeeper is not asked."""

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any

from lastword.contract.version import Version
from tasks.lock.locks import Locks


class Granted(nullcontext[Any]):
    """What a grant offers, with a token that nobody else has."""

    def __init__(self, wanted: Mapping[str, Version]) -> None:
        super().__init__(self)
        self.tokens = dict.fromkeys(wanted, f"{time.monotonic_ns():016x}")
        self.busy: list[str] = []
        self._session = SimpleNamespace(_id=None)

    def check(self) -> None:
        """They are never lost."""

    def release(self) -> None:
        """There is nothing to give back."""


class Asked:
    """Locks that nobody was asked for."""

    def __init__(self, wanted: Mapping[str, Version]) -> None:
        self._wanted = wanted

    def grant(self) -> AbstractContextManager[Any]:
        """All of them."""
        return Granted(self._wanted)


def ask(_: Locks, wanted: Mapping[str, Version], *, wait_s: float | None = None) -> Asked:
    del wait_s
    return Asked(wanted)


Locks.ask = ask  # type: ignore[assignment,method-assign]

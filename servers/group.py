"""Servers that are started and stopped together."""

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Self

from servers.errors import StartError
from servers.server import READY_INTERVAL_S, START_TIMEOUT_S, Server


class Group(ABC):
    """As a context manager its servers are started side by side, and stopped."""

    @abstractmethod
    def __iter__(self) -> Iterator[Server]:
        """The servers, in the order of their start."""

    def start(self) -> None:
        """Start all of them; all answer on return, or none runs and a ServerError tells which did not."""
        try:
            for stage in self._stages():
                for server in stage:
                    server.launch()
                for server in stage:
                    server.wait_ready()
            self._join()
        except BaseException:
            self.stop()
            raise

    def _stages(self) -> Sequence[Sequence[Server]]:
        """The servers in stages, where some need others that answer already."""
        return [list(self)]

    def _join(self) -> None:  # noqa: B027 - most servers need not know each other
        """Make one of servers that answer."""

    def stop(self) -> None:
        """Stop all of them, whatever happens to one of them."""
        with contextlib.ExitStack() as stack:
            for server in self:
                stack.callback(server.stop)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()


def await_state(reached: Callable[[], bool], what: str) -> None:
    """Wait until servers that run have come so far; StartError, which names ``what``, when they do not."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not reached():
        if time.monotonic() > deadline:
            raise StartError(f"{what}: not within {START_TIMEOUT_S:g} s")
        time.sleep(READY_INTERVAL_S)

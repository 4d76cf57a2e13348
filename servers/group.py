"""Servers that are started and stopped together."""

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from servers.errors import ServerError, StartError
from servers.server import READY_INTERVAL_S, START_TIMEOUT_S, Server


class Group(ABC):
    """As a context manager its servers are started side by side, and stopped; ``group[name]`` is one of them."""

    @abstractmethod
    def __iter__(self) -> Iterator[Server]:
        """The servers, in the order of their start."""

    def __getitem__(self, name: str) -> Server:
        """The server of this name, in upper or lower case; ServerError, which names them all, when there is none."""
        for server in self:
            if server.name.casefold() == name.casefold():
                return server
        raise ServerError(f"There is no server {name!r}; there are {', '.join(server.name for server in self)}")

    def start(self) -> None:
        """Start those that do not run; all answer on return, or none runs and a ServerError tells which did not.

        IdentityError, before any is started, when one has the data of another.
        """
        for server in self:
            if not server.running:
                server.check_data()
        for server in self:
            server.fetch()  # here, not in a thread of its start: Ctrl-C does not reach that
        try:
            for stage in self._stages():
                side_by_side(Server.launch, [server for server in stage if not server.running])
                for server in stage:
                    server.wait_ready()
            self.join()
        except BaseException:
            self.stop()
            raise

    def _stages(self) -> Sequence[Sequence[Server]]:
        """The servers in stages, where some need others that answer already."""
        return [list(self)]

    def join(self) -> None:  # noqa: B027 - most servers need not know each other
        """Make one of servers that answer."""

    def stop(self) -> None:
        """Stop all of them, whatever happens to one of them; the last stage first."""
        with contextlib.ExitStack() as stack:
            for stage in self._stages():
                # Not one after the other: what remains of a quorum would wait for those that are gone.
                stack.callback(side_by_side, Server.stop, stage)

    def mend(self) -> None:
        """Resume what is paused and start what is stopped: all answer again on return."""
        for server in self:
            if server.running:
                server.resume()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()


def side_by_side(action: Callable[[Server], None], servers: Sequence[Server]) -> None:
    """Do it to all servers at once, to each in a thread; then raise what the first that failed has raised."""
    with ThreadPoolExecutor(max_workers=len(servers) or 1) as pool:
        done = [pool.submit(action, server) for server in servers]
    for each in done:
        each.result()


def await_state(reached: Callable[[], bool], what: str) -> None:
    """Wait until servers that run have come so far; StartError, which names ``what``, when they do not."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not reached():
        if time.monotonic() > deadline:
            raise StartError(f"{what}: not within {START_TIMEOUT_S:g} s")
        time.sleep(READY_INTERVAL_S)

"""A task of a real worker that stands still at a chosen point, so that a fault strikes exactly there."""

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self

from tests.faults.load import publish
from tests.flow import Flow
from tests.waiting import wait_until
from tests.worker_helpers import CeleryWorker, celery_worker

Point = Literal["before acquire", "before write", "before release"]
"""Before the multi that creates the lock is sent; between the last check and the write; between write and release."""

PLUG_IN = ("-I", "tests.faults.stall_in_worker")
"""What the worker's command line needs beside ``Stall.environment``."""


class Standing(NamedTuple):
    """Which process stands still, and the ZooKeeper session by which it holds its lock, or is about to take it."""

    pid: int
    client_id: tuple[int, bytes]
    guard: str


class Stall:
    """The first task of ``product`` stands still at ``point``, until ``let_go``; the rest of the worker goes on.

    On exit as a context manager the task is let go, and its process resumed.
    """

    def __init__(self, directory: Path, point: Point, product: str) -> None:
        self._directory = directory / f"stall-{product}"
        self._directory.mkdir()
        self._paused: int | None = None
        self.environment = {
            "STALL_DIRECTORY": str(self._directory),
            "STALL_AT": point,
            "STALL_PRODUCT": product,
        }

    def wait(self) -> Standing:
        """Return once a task stands still."""
        said = self._wait_for("standing")
        here = json.loads(said)
        return Standing(here["pid"], (here["session"], bytes.fromhex(here["password"])), here["guard"])

    def pause(self, standing: Standing) -> None:
        """Stop its whole process (SIGSTOP), heartbeats to ZooKeeper included."""
        os.kill(standing.pid, signal.SIGSTOP)
        self._paused = standing.pid

    def let_go(self) -> None:
        """Let the task go on, its process too."""
        (self._directory / "go").touch()
        if self._paused is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._paused, signal.SIGCONT)
            self._paused = None

    def outcome(self) -> str:
        """What became of the write that the task that stood still has made."""
        return self._wait_for("outcome")

    def wait_until_released(self) -> None:
        """Return once the task has given its lock back, as far as it is concerned."""
        self._wait_for("released")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.let_go()

    def _wait_for(self, name: str) -> str:
        file = self._directory / name
        wait_until(file.exists, what=f"a task of the worker: {name}")
        return file.read_text(encoding="utf-8")


@contextmanager
def standing_worker(
    flow: Flow, pool: tuple[str, ...], point: Point, **environment: str
) -> Iterator[tuple[Stall, Standing, CeleryWorker]]:
    """A bridge, and a worker with a task of product ``p``, change 1, that stands still at ``point``."""
    with (
        Stall(flow.directory, point, "p") as stall,
        flow.bridge(),
        celery_worker(flow.environment | stall.environment | environment, *pool, *PLUG_IN) as worker,
    ):
        publish(flow, "p", number=1)
        yield stall, stall.wait(), worker
        stall.let_go()

"""``make up``: the Procfile's worker, bridge and Flower side by side, on servers that run already.

They stop one after another, so that the bridge can finish what it has in flight while the worker still works.
"""

import contextlib
import os
import signal
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from honcho.environ import parse_procfile
from honcho.manager import Manager

from lastword.process import interrupt
from tasks.broker.flower import ADDRESS, credentials

ROOT: Final = Path(__file__).parents[1]
STOP_FIRST: Final = "bridge"
STOP_TIMEOUT_S: Final = 45.0  # the bridge's longest farewell, and a little
POLL_S: Final = 0.1

READY: Final = """\
All is up; Ctrl-C stops all of it.
  Flower   {flower}, {login}
  publish  lastword publish examples/product-changes.jsonl --unchecked
  read     python -c 'import redis; print(redis.Redis.from_url("{redis}").hmget("product:42", "data", "deleted"))'
"""


class Together(Manager):  # type: ignore[misc] # honcho has no types
    """Honcho's manager that says when all is up, and stops the bridge before the others."""

    _terminating: bool

    def __init__(self, heartbeats: Path) -> None:
        super().__init__()
        self._heartbeats = heartbeats

    def _start(self) -> None:
        super()._start()
        threading.Thread(target=self._announce, daemon=True).start()

    def terminate(self) -> None:
        """Begin to stop everything, in order; called again, no effect."""
        if not self._terminating:
            self._terminating = True
            threading.Thread(target=self.stop_in_order, daemon=True).start()

    def kill(self) -> None:
        """Do nothing: ``terminate`` kills what does not end in time, and honcho's five seconds are too short."""

    def stop_in_order(self) -> None:
        """Stop what runs, the bridge first; returns when all of it has ended."""
        for name in sorted(self._processes, key=lambda name: name != STOP_FIRST):
            self._stop(self._processes[name])

    def _stop(self, process: dict[str, Any]) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if "returncode" not in process and _within(STOP_TIMEOUT_S, lambda: "pid" in process):
                # The process alone, not its group, as honcho does: the worker stops its own pool's processes.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process["pid"], number)
                _within(STOP_TIMEOUT_S, lambda: not _exists(process["pid"]))

    def _announce(self) -> None:
        while not self._up():
            if self._terminating:
                return
            time.sleep(POLL_S)
        redis = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
        if "@" in redis:
            redis = "REDIS_URL"  # not its password
        self._system_print(READY.format(flower=_flower_url(), login=login(), redis=redis))

    def _up(self) -> bool:
        beating = all((self._heartbeats / name).exists() for name in self._processes if name != "flower")
        return beating and _answers(f"{_flower_url()}/healthcheck")


def main() -> int:
    """Run the Procfile's processes until one ends, or SIGINT or SIGTERM; return the exit code of what came first."""
    with tempfile.TemporaryDirectory(prefix="lastword-up-") as directory:
        together = Together(Path(directory))
        for name, command in parse_procfile((ROOT / "Procfile").read_text(encoding="utf-8")).processes.items():
            environment = os.environ | {
                "LASTWORD_HEARTBEAT_FILE": str(Path(directory) / name),
                "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
                "PYTHONUNBUFFERED": "1",
            }
            together.add_process(name, command, env=environment, cwd=ROOT)
        try:
            together.loop()
        finally:
            together.stop_in_order()  # what still runs after an error: a terminal that is gone cannot be written to
    return int(together.returncode)


def _within(timeout_s: float, condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < end:
        time.sleep(POLL_S)
    return condition()


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _flower_url() -> str:
    return f"http://{ADDRESS}:{os.environ.get('FLOWER_PORT', '5555')}"


def _answers(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1) as answer:  # noqa: S310 - a URL of ours
        return bool(answer.status == HTTPStatus.OK)
    return False


def login() -> str:
    """Flower's user and password, for a person who is at this machine."""
    if os.environ.get("FLOWER_BASIC_AUTH"):
        return "user and password as in FLOWER_BASIC_AUTH"
    user, _, password = credentials()[0].partition(":")
    return f"user {user}, password {password}"


if __name__ == "__main__":
    interrupt.run(main)

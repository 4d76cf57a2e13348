"""Celery workers as subprocesses: started until ready, stopped within bounds, their log shown when something fails."""

import os
import shutil
import signal
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from redis import Redis as Client

from lastword.contract.flow import DEFAULT_FLOW
from servers import Reachable, ReachableRedis
from servers.process import Child
from tests.injected.constants import CALL_TIMEOUTS, LOCK_BUSY_MAX_S, RETRY_MAX_S, injected_path, with_constants
from tests.waiting import DEADLINE_S, wait_until

SESSION_TIMEOUT_S = 3.0  # of the workers' ZooKeeper sessions; the server's tick is 1 s
BROKER_DB = 1
LOG_TAIL_LINES = 200
STACKS_S = 5.0

REPOSITORY = Path(__file__).parents[1]


class CeleryWorker:
    """A running worker, or one that has ended; ``name`` is its node name, ``log_file`` has all it said."""

    def __init__(self, name: str, child: Child, log_file: Path, *, is_injected: bool = False) -> None:
        self.name = name
        self._is_injected = is_injected
        self.log_file = log_file
        self._child = child

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """None while the worker runs, else its exit code (negative: the signal that ended it)."""
        return self._child.exit_code

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def wait_for_log(self, text: str, *, deadline_s: float = DEADLINE_S) -> None:
        """Return once ``text`` is in the log; AssertionError also as soon as the worker has ended without it."""

        def found() -> bool:
            ended = self.exit_code is not None  # before the log is read: its last lines count
            if text in self.log:
                return True
            assert not ended, f"worker {self.name} ended with exit code {self.exit_code} before it said {text!r}"
            return False

        wait_until(found, deadline_s=deadline_s, what=f"{text!r} in the log of {self.name}")

    def send(self, number: signal.Signals) -> None:
        self._child.send(number)

    def tell_stacks(self) -> None:
        """Have one that may hang write its threads' stacks into its log: tests/injected/sitecustomize.py."""
        if self.exit_code is None and self._is_injected:
            sys.stderr.write(f"worker {self.name} is {psutil.Process(self.pid).status()}\n")  # stopped, maybe
            before = len(self.log)
            self.send(signal.SIGRTMIN)
            with suppress(AssertionError):
                wait_until(lambda: len(self.log) > before, deadline_s=STACKS_S, what="the stacks of its threads")

    def stop(self, *, deadline_s: float = DEADLINE_S) -> int:
        """Ask the worker to end (SIGTERM, a warm shutdown), kill it past the deadline; return its exit code."""
        self._child.stop(deadline_s)
        code = self.exit_code
        assert code is not None
        return code

    def kill(self) -> None:
        """End the worker and its pool's processes at once (SIGKILL)."""
        self._child.kill()

    def log_tail(self) -> str:
        lines = self.log.splitlines()[-LOG_TAIL_LINES:]
        return "\n".join([f"--- the end of the log of worker {self.name} ---", *lines, "---"])


@contextmanager
def celery_worker(
    env: Mapping[str, str],
    *args: str,
    python: str | Path = sys.executable,
    app: str = "tasks",
    directory: Path = REPOSITORY,
    wait_ready: bool = True,
    alone: bool = True,
    script: bool = False,
) -> Iterator[CeleryWorker]:
    """Run ``python -m celery -A app worker args...`` in ``directory``, ``env`` added to our own environment.

    ``script``: run ``celery`` instead, as it is installed beside Python; it alone can start itself again.

    The worker is ready on entry (unless told otherwise) and gone on exit, by SIGTERM and at last by SIGKILL. When it
    does not come up, or the body fails, the log's tail goes to standard error, which pytest shows.
    """
    name = f"test-{uuid.uuid4().hex[:12]}@localhost"
    scratch = Path(tempfile.mkdtemp(prefix="lastword-worker-"))
    log_file = scratch / "worker.log"
    quick = ["--without-gossip", "--without-mingle"] if alone else []  # they wait for other workers for a second
    celery = [Path(python).with_name("celery")] if script else [python, "-m", "celery"]
    command = [*celery, "-A", app, "worker", "-n", name, "-l", "INFO", *quick, *args]
    child = Child(command, directory=directory, log_file=log_file, environment={**os.environ, **env})
    worker = CeleryWorker(name, child, log_file, is_injected=injected_path() in env.get("PYTHONPATH", ""))
    try:
        if wait_ready:
            worker.wait_for_log(" ready.")
        yield worker
    except BaseException:
        worker.tell_stacks()
        sys.stderr.write(f"{worker.log_tail()}\n")
        raise
    finally:
        worker.stop()
        shutil.rmtree(scratch)


def worker_env(
    redis_server: ReachableRedis,
    zookeeper_server: Reachable,
    *,
    root: str,
    key_prefix: str,
    session_timeout_s: float = SESSION_TIMEOUT_S,
) -> dict[str, str]:
    """The settings of a worker on these servers, the broker beside the cache in Redis; add what the test is about."""
    return {
        "REDIS_URL": redis_server.url(),
        "CELERY_BROKER_URL": redis_server.url(BROKER_DB),
        "ZOOKEEPER_HOSTS": zookeeper_server.address,
        "LASTWORD_ZOOKEEPER_ROOT": root,
        "LASTWORD_KEY_PREFIX": key_prefix,
        "LASTWORD_FLOW": DEFAULT_FLOW,  # whose queue and locks are where they always were, whatever the prefix
        "LASTWORD_SESSION_TIMEOUT_S": str(session_timeout_s),
        "LASTWORD_STARTUP_DEADLINE_S": "120",
    } | with_constants({}, {LOCK_BUSY_MAX_S: 1, RETRY_MAX_S: 1, **dict.fromkeys(CALL_TIMEOUTS, 2)})


def empty_broker(redis_server: ReachableRedis) -> None:
    """Drop all that earlier tests left in the Celery broker's database."""
    with Client.from_url(redis_server.url(BROKER_DB)) as client:
        client.flushdb()

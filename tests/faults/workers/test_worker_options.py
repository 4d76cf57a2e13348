"""Every way to start and to end a worker, on a running flow: nothing is lost, and what cannot work says so."""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import psutil
import pytest

from tests.celery_brokers import QUEUE
from tests.commands import run
from tests.faults.figures import measured
from tests.faults.load import publish
from tests.faults.logs import no_traceback
from tests.faults.workers.buttons import ids_of, writes_refused
from tests.flow import Flow
from tests.inspect_helpers import says, told
from tests.pools import POOLS, PREFORK, name_of
from tests.waiting import wait_until
from tests.worker_helpers import CeleryWorker, celery_worker

COLD: Final = "Cold shutdown"
MANY: Final = ("-O", "fair", "--without-gossip", "--without-mingle", "--without-heartbeat", "--purge")
OF_PROCESSES: Final = (
    *("--autoscale", "3,1", "--max-tasks-per-child", "20", "--max-memory-per-child", "200000"),
    *("--time-limit", "60", "--soft-time-limit", "30"),
)
IN_VAIN: Final = ("autoscale", "max-tasks-per-child", "max-memory-per-child", "time-limit", "soft-time-limit")


def end(worker: CeleryWorker, number: signal.Signals) -> int:
    """Send a signal to a worker, wait for its end, and return its exit code."""
    worker.send(number)
    wait_until(lambda: worker.exit_code is not None, what=f"the worker's end by {number.name}")
    assert worker.exit_code is not None
    return worker.exit_code


@POOLS
def test_every_signal_that_ends_a_worker(flow: Flow, pool: Sequence[str]) -> None:
    """With tasks in flight, which have been tried and wait for their retry."""
    remapped = flow.environment | {"REMAP_SIGTERM": "SIGQUIT"}
    with flow.bridge(), ExitStack() as workers, ExitStack() as refusal:
        one = workers.enter_context(celery_worker(flow.environment, *pool))
        refusal.enter_context(writes_refused(flow))
        flow.publish(60, 50)
        wait_until(lambda: " retry: " in one.log, what="a task in flight")
        with measured(flow, "workers ended cold (SIGQUIT, REMAP_SIGTERM)", under=name_of(pool)) as measurement:
            end(one, signal.SIGQUIT)
            two = workers.enter_context(celery_worker(remapped, *pool))
            wait_until(lambda: " retry: " in two.log, what="a task in flight")
            end(two, signal.SIGTERM)
            workers.enter_context(celery_worker(flow.environment, *pool))
            refusal.close()
            measurement.over()
            flow.wait_until_fresh()
        assert COLD in one.log
        assert COLD in two.log
        no_traceback(one, two)
        flow.wait_until_all_is_committed()


@POOLS
def test_a_worker_that_is_told_to_begin_anew(flow: Flow, pool: Sequence[str]) -> None:
    with flow.bridge(), celery_worker(flow.environment, *pool, script=True) as worker:
        with measured(flow, "worker told to begin anew (SIGHUP)", under=name_of(pool)) as measurement:
            flow.publish(300, 200)
            wait_until(lambda: ids_of(flow, worker), what="a task in flight")
            worker.send(signal.SIGHUP)
            wait_until(lambda: worker.log.count(" ready.") == 2, what="the worker ready again")
            measurement.over()
            publish(flow, "afterwards")
            flow.wait_until_fresh()
        assert worker.exit_code is None
        flow.wait_until_all_is_committed()


@POOLS
def test_every_option(flow: Flow, pool: Sequence[str]) -> None:
    """With ``--purge`` the worker empties the queue first: the bridge sends again what was in it."""
    with flow.bridge(), ExitStack() as workers:
        flow.publish(60, 50)
        wait_until(lambda: flow.broker.llen(QUEUE), what="tasks in the queue")
        with measured(flow, "worker started with every option, --purge too", under=name_of(pool)):
            options = *pool[:2], *OF_PROCESSES, *MANY, "-Q", f"{QUEUE},other"
            worker = workers.enter_context(celery_worker(flow.environment, *options))
            flow.wait_until_fresh()
        said = [f"--{name} does nothing: the tasks of this pool run in the worker's own process" for name in IN_VAIN]
        assert [one in worker.log for one in said] == [pool != PREFORK] * len(said)
        assert "Scaling up" not in worker.log or pool == PREFORK
        flow.wait_until_all_is_committed()


@pytest.mark.parametrize("option", [("-Q", "other"), ("-X", QUEUE)], ids=["-Q", "-X"])
def test_a_worker_that_does_not_read_the_queue(flow: Flow, option: tuple[str, str], tmp_path: Path) -> None:
    """And one that nobody would see alive."""
    with flow.bridge(), celery_worker(flow.environment, *option) as idle:
        publish(flow, "p")
        wait_until(lambda: flow.broker.llen(QUEUE), what="the task in the queue")
        assert "this worker takes no updates: it reads " in idle.log
        assert f"nobody reads the queue '{QUEUE}', not even {idle.name}: started so" in says(told(flow, "p"))
        with (
            measured(flow, "worker that reads another queue", under=option[0]),
            celery_worker(flow.environment, "--statedb", str(tmp_path / "state")) as other,
        ):
            flow.wait_until_fresh()
            assert ids_of(flow, other)
        flow.wait_until_all_is_committed()
    unseen = flow.environment | {"LASTWORD_HEARTBEAT_FILE": str(tmp_path / "beat")}
    ended = run(["-m", "celery", "-A", "tasks", "worker", "--without-heartbeat"], unseen)
    assert ended.code == 2
    assert "with --without-heartbeat nothing renews the file" in ended.complaints[-1]


@contextmanager
def celery_multi(flow: Flow, directory: Path, *names: str) -> Iterator[None]:
    """Daemons by ``celery multi``, until they are told to stop."""
    files = [f"--pidfile={directory}/%n.pid", f"--logfile={directory}/%n%I.log"]
    multi = ["-m", "celery", "multi"]
    environment = flow.environment | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    started = run([*multi, "start", *names, "-A", "tasks", "-l", "INFO", *files], environment)
    assert started.code == 0, started.out + started.err
    try:
        pids = [wait_until(partial(pid_in, directory / f"{name}.pid"), what=f"the daemon {name}") for name in names]
        yield
        stopped = run([*multi, "stopwait", *names, *files], environment)
        assert stopped.code == 0, stopped.out + stopped.err
        assert not [pid for pid in pids if psutil.pid_exists(pid)]
    finally:
        for pid in filter(None, (pid_in(directory / f"{name}.pid") for name in names)):
            if psutil.pid_exists(pid):
                os.kill(pid, signal.SIGKILL)


def pid_in(file: Path) -> int:
    """The process id that a daemon has written down; 0 until it has."""
    return int(file.read_text(encoding="utf-8") or 0) if file.exists() else 0


def test_daemons_by_celery_multi(flow: Flow, tmp_path: Path) -> None:
    with flow.bridge(), celery_multi(flow, tmp_path, "w1", "w2"):
        flow.publish(60, 50)
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()

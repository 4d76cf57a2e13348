"""Flower's buttons and ``celery control`` on a running flow: nothing is lost, and what cannot work says so."""

import re
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from celery.app.control import Control

from lastword.contract.task import TASK_NAME
from tests.commands import run
from tests.faults.figures import measured
from tests.faults.load import is_visible, not_fresh, publish
from tests.faults.logs import SWALLOWED
from tests.faults.workers.buttons import ask, ids_of, press, remote_control, writes_refused
from tests.flow import Flow
from tests.flower_helpers import running_flower
from tests.inspect_helpers import says, told
from tests.pools import GROUP, POOLS, PREFORK, name_of
from tests.waiting import wait_until
from tests.worker_helpers import CeleryWorker, celery_worker

LOGIN: Final = "me:mine"
TAKEN_ALONG: Final = re.compile(
    r"^Traceback .*\n(?:  .*\n)+billiard\.einfo\.ExceptionWithTraceback: \n"
    r'"""\nTraceback .*\n(?:  .*\n)+'
    r"billiard\.exceptions\.WorkerLostError: Worker exited prematurely: signal 15 \(SIGTERM\) Job: \d+\.\n",
    re.MULTILINE,
)
"""What Celery says where `pool_shrink` ends a process that has been given a task just then; the task is sent again."""

PURGE: Final = ["-m", "celery", "-A", "tasks", "purge", "-f"]

IN_ITS_PROCESS: Final = "error: the tasks of this pool run in the worker's own process"
SIZE: Final = f"{IN_ITS_PROCESS}, and nothing can be added to it or taken away"
ANSWERS: Final = {
    "revoke_by_stamped_headers": "error: no task here has stamps",
    "election": "error: TypeError: election() missing",
    "heartbeat": "none",
    "disable_events": "error: the worker was started with its tasks' events on",
    "enable_events": "ok: task events already enabled",
    "add_consumer": "ok: add consumer other",
    "cancel_consumer": "ok: no longer consuming from other",
}
ANSWERS_IN_ITS_PROCESS: Final = ANSWERS | {
    "pool_grow": SIZE,
    "pool_shrink": SIZE,
    "autoscale": SIZE,
    "pool_restart": f"{IN_ITS_PROCESS}; restart the worker",
    "time_limit": f"{IN_ITS_PROCESS}, which has no time limits",
    "terminate": "ok: tasks {'nobody:0:1'} flagged as revoked; what has begun goes on to its end",
}
ANSWERS_OF_PROCESSES: Final = ANSWERS | {
    "pool_grow": "ok: pool will grow",
    "pool_shrink": "ok: pool will shrink",
    "autoscale": "error: ValueError: Autoscale not enabled",
    "pool_restart": "error: ValueError: Pool restarts not enabled",
    "time_limit": "ok: time limits set successfully",
    "terminate": "ok: terminate: tasks unknown; the bridge sends their updates again",
}
ARGUMENTS: Final[dict[str, dict[str, object]]] = {
    "autoscale": {"max": 4, "min": 2},
    "time_limit": {"task_name": TASK_NAME, "soft": 60.0, "hard": 120.0},
    "terminate": {"task_id": "nobody:0:1", "signal": "KILL"},
    "revoke_by_stamped_headers": {"headers": {"a": "b"}},
    "add_consumer": {"queue": "other"},
    "cancel_consumer": {"queue": "other"},
}


@POOLS
def test_a_task_is_revoked_again_and_again_while_writes_are_refused(
    flow: Flow, pool: Sequence[str], tmp_path: Path
) -> None:
    """And the worker is restarted, and knows from its state file what is revoked; other workers would tell it too."""
    options = *pool, "--statedb", str(tmp_path / "state")
    with flow.bridge(), remote_control(flow) as control, ExitStack() as workers, ExitStack() as refusal:
        old = workers.enter_context(celery_worker(flow.environment, *options))
        refusal.enter_context(writes_refused(flow))
        publish(flow, "p")
        [one] = wait_until(lambda: ids_of(flow, old)[:1], what="the first task")
        with measured(flow, "task revoked, and its repetition too, writes refused", under=name_of(pool)) as measurement:
            answer = press(control, old, "revoke", task_id=one)
            assert answer.endswith("flagged as revoked; the bridge sends their updates again, as tasks with other ids")
            [two] = wait_until(lambda: ids_of(flow, old)[1:2], what="a repetition")
            assert two.startswith(f"{one}@2-")
            press(control, old, "revoke", task_id=[one, two], terminate=True)
            assert old.stop() == 0
            new = workers.enter_context(celery_worker(flow.environment, *options))
            assert {one, two} <= set(ask(control, new, "revoked"))
            wait_until(lambda: set(ids_of(flow, new)) - {one, two}, what="another repetition")
            said = says(told(flow, "p"))
            assert f"its task {one} was revoked: workers discard it. The bridge sends the update again" in said
            assert not is_visible(flow, "p")
            refusal.close()
            measurement.over()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()


def pressed(control: Control, worker: CeleryWorker, command: str) -> str:
    """The answer to a command, which Celery refuses while each process has a task in flight, if it is about them."""

    def answer() -> str:
        said = press(control, worker, command, **ARGUMENTS.get(command, {}))
        return "" if said.endswith("All processes busy!") else said

    return wait_until(answer, what=f"an answer to {command}")


@POOLS
def test_every_command_that_needs_nobody_to_undo_it(flow: Flow, pool: Sequence[str]) -> None:
    answers = ANSWERS_OF_PROCESSES if pool == PREFORK else ANSWERS_IN_ITS_PROCESS
    with flow.bridge(), remote_control(flow) as control, celery_worker(flow.environment, *pool) as worker:
        with measured(flow, "every other command of celery control", under=name_of(pool)):
            flow.publish(300, 100)
            for command, answer in answers.items():
                assert pressed(control, worker, command).startswith(answer), command
            if pool == PREFORK:
                assert press(control, worker, "pool_shrink", n=3).startswith(
                    "error: there are 3 processes, and one must"
                )
            publish(flow, "afterwards")
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
        assert "Traceback" not in TAKEN_ALONG.sub("", SWALLOWED.sub("", worker.log))


@POOLS
def test_what_holds_the_flow_until_somebody_undoes_it(flow: Flow, pool: Sequence[str]) -> None:
    """And `lastword inspect` names it."""
    with flow.bridge(), remote_control(flow) as control, celery_worker(flow.environment, *pool) as worker:
        queue = control.app.conf.task_default_queue
        with measured(flow, "rate limit of one task an hour", under=name_of(pool)) as measurement:
            assert press(control, worker, "rate_limit", task_name=TASK_NAME, rate_limit="1/h").startswith("ok: ")
            flow.publish(600, 500)
            wait_until(lambda: len(ids_of(flow, worker)) > 20, what="tasks that are held back")
            said = says(told(flow, min(not_fresh(flow))))
            assert f"worker {worker.name} runs only 1/h of {TASK_NAME}: `rate_limit`" in said
            press(control, worker, "rate_limit", task_name=TASK_NAME, rate_limit="1/m")
            press(control, worker, "rate_limit", task_name=TASK_NAME, rate_limit="0")
            measurement.over()
            flow.wait_until_fresh()  # what the worker has fetched ahead too, as soon as it may
        with measured(flow, "queue cancelled, and purged", under=name_of(pool)) as measurement:
            press(control, worker, "cancel_consumer", queue=queue)
            wait_until(lambda: f"Canceling queue {queue}" in worker.log, what="the queue cancelled")
            publish(flow, "p", "q")
            wait_until(lambda: flow.broker.llen(queue), what="tasks in the queue")
            assert f"nobody reads the queue '{queue}', not even {worker.name}" in says(told(flow, "p"))
            assert "Purged " in run(PURGE, flow.environment).out
            press(control, worker, "add_consumer", queue=queue)
            measurement.over()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()


def test_flowers_buttons(flow: Flow, tmp_path: Path) -> None:
    env = {"CELERY_BROKER_URL": flow.environment["CELERY_BROKER_URL"], "FLOWER_BASIC_AUTH": LOGIN}
    with running_flower(env, tmp_path) as flower, flow.bridge(), ExitStack() as workers, ExitStack() as refusal:
        worker = workers.enter_context(celery_worker(flow.environment))

        def button(path: str, **fields: object) -> tuple[int, str]:
            """What Flower answers; it gives a worker a second to answer, and says then that it does not know."""

            def answer() -> tuple[int, str] | None:
                said = flower.press(f"/api/{path}?{urlencode(fields)}", LOGIN)
                return None if "Unknown reason" in said[1] else said

            return wait_until(answer, what=f"an answer to {path}")

        flower.wait_until_up()
        refresh = f"/api/workers?refresh=true&workername={worker.name}"
        wait_until(lambda: flower.status(refresh, LOGIN) == 200, what="Flower to know the worker")
        refused = [button(f"worker/pool/{what}/{worker.name}") for what in ("grow", "shrink", "restart")]
        refused += [button(f"worker/pool/autoscale/{worker.name}", min=1, max=4)]
        refused += [button(f"task/timeout/{TASK_NAME}", workername=worker.name, hard=5)]
        assert {status for status, _ in refused} == {403}
        assert [said for _, said in refused if IN_ITS_PROCESS.removeprefix("error: ") not in said] == []
        refusal.enter_context(writes_refused(flow))
        publish(flow, "p")
        [one] = wait_until(lambda: ids_of(flow, worker)[:1], what="the first task")
        with measured(flow, "Flower: task terminated, worker shut down", under=name_of(GROUP)) as measurement:
            assert button(f"task/revoke/{one}", terminate="true") == (200, f'{{"message": "Revoked \'{one}\'"}}')
            worker.wait_for_log("what has begun goes on to its end")
            assert button(f"worker/shutdown/{worker.name}")[0] == 200
            wait_until(lambda: worker.exit_code is not None, what="the worker's end")
            assert worker.exit_code == 0
            workers.enter_context(celery_worker(flow.environment))
            refusal.close()
            measurement.over()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()

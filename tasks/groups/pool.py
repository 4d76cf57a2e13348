"""Celery's worker pool that runs the updates of many tasks as one group, in the worker's own thread.

Each task keeps its own result, retries, events and acknowledgement. ``celeryconfig.py`` names it to Celery, whose
``-P processes`` and ``-P threads`` work as well. What a pool must do is in no document: pyproject.toml holds celery
below 5.7, and test_pool.py says what was seen to matter. Source: docs/decisions/0011-group-pool.md
"""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from billiard.einfo import ExceptionInfo
from celery import signals
from celery.concurrency.base import BasePool
from celery.exceptions import WorkerShutdown, WorkerTerminate

from lastword.contract.task import BATCH_NAME, TASK_NAME, Send, UnknownFormatError, decode, decode_batch, destination
from lastword.process.startup import collect_seldom
from tasks.groups.batches import Batch, PreparedBatch
from tasks.groups.groups import Groups, Prepared, Waiting, prepared
from tasks.groups.worker_options import WHY
from tasks.refresh import LOCK_WAIT_S
from tasks.resources import process_resources

logger = logging.getLogger(__name__)
_tracer = logging.getLogger("celery.app.trace")

TRACED: Final = (signals.task_prerun, signals.task_postrun, signals.task_success)

SWITCH_S: Final = 0.0005
"""How long kazoo's thread, with ZooKeeper's answer, waits while ours computes; by default it is ten times as long."""

OVERDUE_EVERY_S: Final = 1.0
"""How often to look for what ZooKeeper has not answered in time."""


class _Task(NamedTuple):
    """One task as Celery hands it to a pool, with what Celery wants to be told of it."""

    target: Callable[..., Any]
    args: tuple[Any, ...]
    accepted: Callable[[int, float], None]
    succeeded: Callable[[Any], None]
    failed: Callable[[ExceptionInfo], None]
    traced: Callable[[], bool]
    begun: float

    def run(self, ready: Prepared | PreparedBatch | None) -> None:
        """Run it to its end; a task that takes down the worker still takes no other one with it."""
        result = ready.result if ready is not None else None
        try:
            self.accepted(os.getpid(), time.monotonic())
            if result is None or self.traced() or self._is_followed():
                self._trace(ready)
            else:
                self.succeeded((0, repr(result), self._runtime()))
        except Exception:
            # What escapes from here would restart the consumer, or leave the group's other tasks unfinished.
            logger.exception("task %s is left to the broker", self.args[1])

    def _trace(self, ready: Prepared | PreparedBatch | None) -> None:
        token = prepared.set(ready)
        try:
            failed, outcome, _ = self.target(*self.args)
        except (WorkerShutdown, WorkerTerminate):
            raise
        except BaseException:  # noqa: BLE001 - SystemExit too is the task's failure
            self.failed(ExceptionInfo())
        else:
            self.succeeded((failed, outcome, self._runtime()))
        finally:
            prepared.reset(token)

    def _runtime(self) -> float:
        """Seconds since the worker was handed the task: what it has waited for its group is part of it."""
        return time.monotonic() - self.begun

    def _is_followed(self) -> bool:
        """Whether Celery has been asked to do something afterwards: callbacks, a chain."""
        _, _, embedded = self.args[3]
        return any(embedded.values())


class GroupPool(BasePool):
    """The default pool: no processes or threads of its own, and no time limits, for each call has its deadline."""

    body_can_be_buffer = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Celery's
        super().__init__(*args, **kwargs)
        self.limit = 1
        self._hub: Any = None
        self._awake = False
        self._traced = True
        self._next_try: Any = None
        self._groups = Groups(process_resources, self._wake_up)
        self._ear, self._mouth = os.pipe()
        for end in (self._ear, self._mouth):
            os.set_blocking(end, False)

    def on_start(self) -> None:
        """Say that tasks may run in this process."""
        collect_seldom()
        sys.setswitchinterval(SWITCH_S)
        signals.worker_process_init.send(sender=None)

    def register_with_event_loop(self, hub: Any) -> None:  # noqa: ANN401 - kombu's
        """Begin with a loop; at each new connection there is one, which knows nothing of the last one's timers."""
        self._hub, self._next_try = hub, None
        hub.add_reader(self._ear, self._woken)
        hub.call_repeatedly(OVERDUE_EVERY_S, self._wake)

    def on_apply(
        self,
        target: Callable[..., Any],
        args: tuple[Any, ...],
        _kwargs: object,
        **told: Any,  # noqa: ANN401 - Celery's
    ) -> None:
        """Take in a task."""
        if not self.active:
            return  # it is not acknowledged and goes back
        name, task_id, request, *_ = args
        # Decoded once already: without a content type Celery takes the body as it is.
        decoded = told["callback"].__self__.message.payload
        args = (name, task_id, request, decoded, None, None)
        task = _Task(
            target,
            args,
            told["accept_callback"],
            told["callback"],
            told["error_callback"],
            self._is_traced,
            time.monotonic(),
        )
        waiting = _waiting(task)
        if not waiting:
            task.run(None)
            return
        for each in waiting:
            self._groups.add(each)
        if self._hub is None:  # a broker's transport without an event loop
            self._groups.finish()
        else:
            self._wake()

    def on_close(self) -> None:
        """Finish what is here: the worker stops, and its connection to the broker is still open."""
        self._groups.finish()

    def flush(self) -> None:
        """Drop what is here: the connection that it came by is gone, and the broker's to hand out again."""
        self._groups.forget()

    on_terminate = flush

    def on_stop(self) -> None:
        """Do nothing: all is finished or dropped by now."""

    # What follows is refused before anybody comes here: tasks/broker/remote_control.py, tasks/groups/worker_options.py.

    def terminate_job(self, _pid: int, _signal: object = None) -> None:
        """Do nothing but say so: it would end the worker."""
        logger.warning("a task cannot be terminated: %s", WHY)

    def grow(self, n: int = 1) -> None:
        """Do nothing but say so: one process, one thread."""
        logger.warning("nothing is added or taken away, of %d: %s", n, WHY)

    shrink = grow

    def restart(self) -> None:
        """Do nothing but say so: it is the worker itself."""
        logger.warning("this pool is not restarted: %s", WHY)

    def _is_traced(self) -> bool:
        return self._traced

    def _wake(self) -> None:
        """Have ``_woken`` called in the loop's next turn, with all that has been delivered in this one."""
        # Not by the hub's call_soon: from a timer, as a retry comes, that is heard of only after the next event.
        if not self._awake:
            self._awake = True
            self._wake_up()

    def _wake_up(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it is full: there is enough in it to be heard
            os.write(self._mouth, b".")

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._ear, 4096)
        self._awake = False
        self._traced = _is_traced()
        self._groups.advance()
        self._plan_next_try()

    def _plan_next_try(self) -> None:
        due = self._groups.next_try()
        if due is not None and self._next_try is None:
            self._next_try = self._hub.call_later(max(0.001, due - time.monotonic()), self._try_again)

    def _try_again(self) -> None:
        self._next_try = None
        self._wake()


def _waiting(task: _Task) -> list[Waiting]:
    """What can wait for a group: the task's update, or each of its many; none: another task, format or flow."""
    name, _, request, *_ = task.args
    retries = int(request.get("retries") or 0)
    patience_s = 0.0 if retries else LOCK_WAIT_S
    until = time.monotonic() + patience_s
    try:
        if name == TASK_NAME:
            arguments = decode(*request["args"])
            return (
                []
                if process_resources().strays.reason(arguments.to)
                else [Waiting(arguments, task.run, until, retries)]
            )
        if name == BATCH_NAME:
            sends = decode_batch(*request["args"])
            return [] if process_resources().strays.reason(destination(sends)) else _waiting_batch(sends, task, until)
    except (UnknownFormatError, TypeError):
        pass  # the task itself says so
    return []


def _waiting_batch(sends: Sequence[Send], task: _Task, until: float) -> list[Waiting]:
    batch = Batch(sends, task.run)

    def finish(index: int, ready: Prepared | None) -> None:
        batch.answered(index, ready.answer if ready is not None else None)

    return [Waiting(send.arguments, partial(finish, index), until) for index, send in enumerate(sends)]


def _is_traced() -> bool:
    """Whether anybody would notice if Celery's tracer were passed by, which takes a fifth of a task's time."""
    return any(signal.receivers for signal in TRACED) or _tracer.isEnabledFor(logging.INFO)

"""Celery's pool of threads, but for a cold shutdown, at which Celery's own leaves tracebacks, or waits for ever."""

import logging
from concurrent.futures import Future, wait
from typing import Any, Final

from celery.concurrency.thread import ApplyResult, TaskPool  # type: ignore[attr-defined]  # the stubs leave it out
from celery.exceptions import TaskRevokedError
from celery.worker import state

from tasks.groups.worker_options import WHY

logger = logging.getLogger(__name__)

COLD_MAX_S: Final = 10.0
"""How long a cold shutdown waits for what has begun: each call to a server has ended by then."""


class ThreadPool(TaskPool):
    """What ``-P threads`` is in this worker."""

    executor: Any  # the stubs leave it out
    _stopping = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Celery's
        super().__init__(*args, **kwargs)
        self._begun: set[Future[Any]] = set()

    def on_stop(self) -> None:
        """Take nothing any more, and wait for what has begun; in a cold shutdown not for ever.

        Celery stops the pool within the signal's handler then. What the signal has interrupted may hold a lock, as that
        of the log, for which a thread waits: it goes on when the handler has returned.
        """
        self._stopping = True
        is_cold: Any = state.should_terminate
        if is_cold:
            wait(list(self._begun), COLD_MAX_S)
        else:
            super().on_stop()

    def on_terminate(self) -> None:
        """Let the threads end with what they are doing; Python waits for that when the process ends."""
        self.executor.shutdown(wait=False)

    def on_apply(self, *args: Any, **kwargs: Any) -> ApplyResult:  # noqa: ANN401 - Celery's
        """Begin a task. A retry that falls due while the pool stops is dropped; the bridge sends it again.

        Raises:
            TaskRevokedError: the pool stops; Celery drops the task without a word.
        """
        if self._stopping:
            raise TaskRevokedError("the pool stops")
        result = super().on_apply(*args, **kwargs)
        self._begun.add(result.f)
        result.f.add_done_callback(self._begun.discard)
        return result

    def terminate_job(self, _pid: int, _signal: object = None) -> None:
        """Do nothing but say so: a cold shutdown asks for it, and waits then for what has begun."""
        logger.warning("a task cannot be terminated: %s", WHY)

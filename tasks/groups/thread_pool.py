"""Celery's pool of threads, but for two things at a cold shutdown, at which Celery's own leaves tracebacks."""

import logging
from typing import Any

from celery.concurrency.thread import ApplyResult, TaskPool  # type: ignore[attr-defined]  # the stubs leave it out
from celery.exceptions import TaskRevokedError

from tasks.groups.worker_options import WHY

logger = logging.getLogger(__name__)


class ThreadPool(TaskPool):
    """What ``-P threads`` is in this worker."""

    _stopping = False

    def on_stop(self) -> None:
        """Take nothing any more, and wait for what has begun."""
        self._stopping = True
        super().on_stop()

    def on_apply(self, *args: Any, **kwargs: Any) -> ApplyResult:  # noqa: ANN401 - Celery's
        """Begin a task. A retry that falls due while the pool stops is dropped; the bridge sends it again.

        Raises:
            TaskRevokedError: the pool stops; Celery drops the task without a word.
        """
        try:
            return super().on_apply(*args, **kwargs)
        except RuntimeError:
            if not self._stopping:
                raise
            raise TaskRevokedError("the pool stops") from None

    def terminate_job(self, _pid: int, _signal: object = None) -> None:
        """Do nothing but say so: a cold shutdown asks for it, and waits then for what has begun."""
        logger.warning("a task cannot be terminated: %s", WHY)

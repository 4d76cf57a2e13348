"""Celery's pool of threads, which here says that a task cannot be terminated; Celery's own raises an error."""

import logging

from celery.concurrency.thread import TaskPool

from tasks.worker_options import WHY

logger = logging.getLogger(__name__)


class ThreadPool(TaskPool):
    """What ``-P threads`` is in this worker."""

    def terminate_job(self, _pid: int, _signal: object = None) -> None:
        """Do nothing but say so: a cold shutdown asks for it, and waits then for what has begun."""
        logger.warning("a task cannot be terminated: %s", WHY)

"""Celery's pool of threads as this worker has it: nothing is said of a task that comes while it stops."""

import threading

import pytest
from celery.exceptions import TaskRevokedError

from tasks.groups.thread_pool import ThreadPool


def test_a_task_that_comes_while_it_stops_is_dropped_without_a_traceback() -> None:
    pool = ThreadPool(limit=1)
    pool.start()
    ran = threading.Event()
    pool.apply_async(ran.set, accept_callback=None)
    assert ran.wait(60)
    pool.stop()
    with pytest.raises(TaskRevokedError):  # which Celery's worker takes for an answer
        pool.apply_async(ran.set, accept_callback=None)

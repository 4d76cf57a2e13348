"""Celery's pool of threads as this worker has it: nothing is said of a task that comes while it stops."""

import threading

from tasks.thread_pool import ThreadPool


def test_a_task_that_comes_while_it_stops_is_dropped_without_a_word() -> None:
    pool = ThreadPool(limit=1)
    pool.start()
    ran = threading.Event()
    pool.apply_async(ran.set, accept_callback=None)
    assert ran.wait(60)
    pool.stop()
    late = threading.Event()
    pool.apply_async(late.set, accept_callback=None)
    assert not late.is_set()

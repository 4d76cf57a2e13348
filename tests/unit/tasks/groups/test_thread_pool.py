"""Celery's pool of threads as this worker has it: nothing is said of a task that comes while it stops, and it stops."""

import threading

import pytest
from celery.exceptions import TaskRevokedError
from celery.worker import state

from tasks.groups import thread_pool
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


def test_a_cold_shutdown_ends_though_a_thread_waits_for_what_the_signal_interrupted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(thread_pool, "COLD_MAX_S", 0.1)
    monkeypatch.setattr(state, "should_terminate", True)
    pool, log = ThreadPool(limit=1), threading.RLock()
    ended = threading.Event()

    def task() -> None:
        with log:
            ended.set()

    with log:
        pool.on_apply(task, (), {}, lambda _: None)
        pool.on_stop()
        assert not ended.is_set()
        with pytest.raises(TaskRevokedError):
            pool.on_apply(task, (), {}, lambda _: None)
    pool.on_terminate()
    assert ended.wait(120)


def test_a_cold_shutdown_waits_for_what_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "should_terminate", True)
    pool, go, ended = ThreadPool(limit=1), threading.Event(), threading.Event()

    def task() -> None:
        go.wait(120)
        ended.set()

    pool.on_apply(task, (), {}, lambda _: None)
    threading.Timer(0.1, go.set).start()
    pool.on_stop()
    assert ended.is_set()
    pool.on_terminate()

"""How a task of a group ends, whatever it does: each is told to Celery, and takes no other one with it."""

from typing import Any

import pytest
from billiard.einfo import ExceptionInfo
from celery.exceptions import WorkerShutdown

from tasks.groups.groups import prepared
from tasks.groups.pool import _Task


class Told:
    def __init__(self) -> None:
        self.accepted = 0
        self.succeeded: list[object] = []
        self.failed: list[ExceptionInfo] = []

    def task(self, target: Any) -> _Task:  # noqa: ANN401 - what Celery would call
        def accept(_pid: int, _when: float) -> None:
            self.accepted += 1

        args = ("tasks.update_product", "id")
        return _Task(target, args, accept, self.succeeded.append, self.failed.append, lambda: True, 0.0)


def raising(error: BaseException) -> Any:  # noqa: ANN401 - what Celery would call
    def target(*_: object) -> None:
        raise error

    return target


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), RuntimeError("x"), OSError("x")])
def test_whatever_a_task_raises_is_its_failure(error: BaseException) -> None:
    told = Told()
    told.task(raising(error)).run(None)
    [info] = told.failed
    assert info.type is type(error)
    assert (told.accepted, told.succeeded) == (1, [])


def test_what_ends_the_worker_ends_it() -> None:
    told = Told()
    with pytest.raises(WorkerShutdown):
        told.task(raising(WorkerShutdown(0))).run(None)
    assert told.failed == []


def test_an_error_in_telling_celery_takes_no_other_task_with_it(caplog: pytest.LogCaptureFixture) -> None:
    told = Told()
    task = told.task(lambda *_: (0, "applied", 0.0))._replace(succeeded=raising(OSError("the broker is gone")))
    task.run(None)
    assert "is left to the broker" in caplog.text
    assert prepared.get() is None

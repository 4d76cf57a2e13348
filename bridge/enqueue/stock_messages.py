"""Celery's messages, made and published by Celery alone, one after the other. For LASTWORD_STOCK=true."""

from collections.abc import Sequence
from typing import Any

import msgspec
from celery import Celery
from kombu import Producer

from bridge.enqueue.task_message import TRANSIENT, TaskMessage


class StockMessages:
    """What ``OwnMessages`` does, by the public calls of Celery and kombu."""

    def __init__(self, app: Celery, *, timeout_s: float) -> None:
        self._app = app
        self._timeout_s = timeout_s
        self._queue: Any = app.amqp.queues[app.conf.task_default_queue]

    def publish(self, channel: Any, tasks: Sequence[TaskMessage]) -> None:  # noqa: ANN401 - kombu's
        """Put the tasks into the queue, in order."""
        producer = Producer(channel)
        for task in tasks:
            self._app.send_task(
                task.name,
                args=msgspec.to_builtins(task.arguments),
                task_id=task.task_id,
                argsrepr=task.shown,
                kwargsrepr="{}",
                producer=producer,
                queue=self._queue,
                delivery_mode=TRANSIENT,
                ignore_result=True,
                retry=False,
                timeout=self._timeout_s,
                confirm_timeout=self._timeout_s,
            )

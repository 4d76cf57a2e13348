"""Celery's messages, each made from one that Celery itself has made, and put into the broker's queue.

``send_task_message`` and kombu's producer take ten times as long, most of it for what is the same each time. Source:
https://docs.celeryq.dev/en/stable/internals/protocol.html, docs/decisions/0014-messages-of-our-own.md
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from celery import Celery

from bridge.enqueue.task_message import TRANSIENT, TaskMessage
from lastword.broker.transport import Channel
from lastword.contract.task import TASK_NAME

_CONTENT: Final = {"content_type": "application/json", "content_encoding": "utf-8"}
_encoder = msgspec.json.Encoder()


class OwnMessages:
    """The messages for the application's queue. ``timeout_s`` bounds each call to an AMQP broker."""

    def __init__(self, app: Celery, *, timeout_s: float) -> None:
        made = app.amqp.as_task_v2(
            "", TASK_NAME, args=(), argsrepr="", kwargsrepr="{}", origin="lastword-bridge", ignore_result=True
        )
        self._timeout_s = timeout_s
        self._headers: dict[str, Any] = made.headers
        self._properties: dict[str, Any] = {**made.properties, "delivery_mode": TRANSIENT}
        self._name: str = app.amqp.queues[app.conf.task_default_queue].name
        self._embedded = made.body[2]

    def publish(self, channel: Any, tasks: Sequence[TaskMessage]) -> None:  # noqa: ANN401 - kombu's
        """Put the tasks into the queue, in order; to Redis in few round trips."""
        if isinstance(channel, Channel):
            channel.put_many(self._name, [self._stored(task) for task in tasks])
            return
        for task in tasks:
            message = channel.prepare_message(
                self._body(task), headers=self._headers_of(task), properties=self._properties_of(task), **_CONTENT
            )
            channel.basic_publish(
                message,
                exchange="",
                routing_key=self._name,
                timeout=self._timeout_s,
                confirm_timeout=self._timeout_s,
            )

    def _stored(self, task: TaskMessage) -> bytes:
        """The message as kombu's Redis transport keeps it in the queue, not in base64: what is in it is UTF-8."""
        return _encoder.encode(
            {
                "body": self._body(task).decode(),
                "content-type": _CONTENT["content_type"],
                "content-encoding": _CONTENT["content_encoding"],
                "headers": self._headers_of(task),
                "properties": {
                    **self._properties_of(task),
                    "delivery_info": {"exchange": "", "routing_key": self._name},
                    "priority": 0,
                    "body_encoding": "utf-8",
                    "delivery_tag": task.nonce,
                },
            }
        )

    def _body(self, task: TaskMessage) -> bytes:
        return _encoder.encode((task.arguments, {}, self._embedded))

    def _headers_of(self, task: TaskMessage) -> dict[str, Any]:
        return {
            **self._headers,
            "task": task.name,
            "id": task.task_id,
            "root_id": task.task_id,
            "argsrepr": task.shown,
        }

    def _properties_of(self, task: TaskMessage) -> dict[str, Any]:
        return {**self._properties, "correlation_id": task.task_id}

"""Celery tasks for updates, many in one round trip where the broker allows it, each call with a deadline."""

import itertools
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from celery import Celery
from kombu import Connection
from kombu.common import maybe_declare
from kombu.exceptions import KombuError

from bridge.delivery.evidence import is_marked
from bridge.delivery.in_flight import InFlight
from bridge.enqueue.task_message import TaskMessage
from lastword.broker.reason import reason
from lastword.contract.flow import Destination
from lastword.contract.task import TASK_LIFE_S, Arguments, Send
from lastword.contract.task_id import repetition_id
from lastword.settings.stock import is_stock

if TYPE_CHECKING:
    from bridge.enqueue.own_messages import OwnMessages
    from bridge.enqueue.stock_messages import StockMessages

logger = logging.getLogger(__name__)

PUBLISH_TIMEOUT_S = 5
FAREWELL_S = 0.5

BATCH_BYTES = 2**20
"""About the most data in one task."""


class EnqueueError(Exception):
    """The broker did not take the tasks, or nobody knows whether it did."""


def task_id(topic: str, partition: int, offset: int, position: int = 0) -> str:
    """Return the id of an update's first task, with which the ids of its repetitions begin.

    Topic, partition and offset, and the place in the record if not the first.
    """
    return f"{topic}:{partition}:{offset}{f':{position}' if position else ''}"


def _messages(app: Celery) -> "OwnMessages | StockMessages":
    if is_stock():
        from bridge.enqueue.stock_messages import StockMessages  # noqa: PLC0415

        return StockMessages(app, timeout_s=PUBLISH_TIMEOUT_S)
    from bridge.enqueue.own_messages import OwnMessages  # noqa: PLC0415 - rests on private parts of kombu

    return OwnMessages(app, timeout_s=PUBLISH_TIMEOUT_S)


class Enqueuer:
    """Hands updates to Celery. Connects when first used, and again after an error.

    Each has a task of its own, unless there are ``updates_per_task`` at once or more: then so many share one.
    ``to``: where they belong, as each of them says.
    """

    def __init__(
        self,
        app: Celery,
        topic: str,
        *,
        task_life_s: float = TASK_LIFE_S,
        updates_per_task: int = 1,
        to: Callable[[], Destination | None] = lambda: None,
    ) -> None:
        self._app = app
        self._topic = topic
        self._task_life_s = task_life_s
        self._updates_per_task = updates_per_task
        self._to = to
        self._connection: Connection | None = None
        self._channel: Any = None
        self._messages = _messages(app)
        instance = secrets.token_hex(6)
        self._nonces = (f"{instance}-{number:x}" for number in itertools.count())

    def send(self, entries: Sequence[InFlight]) -> None:
        """Enqueue all of them, in order; EnqueueError when some may not have been taken.

        Each send has a nonce of its own, noted before it leaves: what comes back is believed only if it bears one. A
        send that failed may have left all the same, and the next one has the same nonce.
        """
        now = time.time()
        with self._open_channel() as channel:
            self._messages.publish(channel, self._tasks(entries, now))

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            connection.release()

    def _tasks(self, entries: Sequence[InFlight], now: float) -> list[TaskMessage]:
        if len(entries) < self._updates_per_task or self._updates_per_task == 1:
            return [TaskMessage.of(self._send(entry, now)) for entry in entries]
        # One that has left before, or may have, is alone: it may be what kills workers.
        fresh = [entry for entry in entries if not entry.nonces and entry.update and not entry.update.is_notice]
        batches = [self._batch(batch, now) for batch in self._divided(fresh)]
        batched = set(fresh)
        return [*batches, *(TaskMessage.of(self._send(entry, now)) for entry in entries if entry not in batched)]

    def _divided(self, entries: Sequence[InFlight]) -> Iterator[list[InFlight]]:
        batch: list[InFlight] = []
        size = 0
        for entry in entries:
            size += entry.record.size
            if batch and (len(batch) == self._updates_per_task or size > BATCH_BYTES):
                yield batch
                batch, size = [], entry.record.size
            batch.append(entry)
        if batch:
            yield batch

    def _batch(self, entries: Sequence[InFlight], now: float) -> TaskMessage:
        nonce = next(self._nonces)
        for entry in entries:
            entry.nonces.append(nonce)
        sends = [self._send(entry, now) for entry in entries]
        return TaskMessage.of_many(sends) if len(sends) > 1 else TaskMessage.of(sends[0])

    def _send(self, entry: InFlight, now: float) -> Send:
        assert entry.update is not None  # noqa: S101 - only updates are enqueued
        entry.first_sent_at = entry.first_sent_at or now
        if len(entry.nonces) == entry.sends:
            entry.nonces.append(next(self._nonces))
        arguments = Arguments(
            update=entry.update,
            nonce=entry.nonces[-1],
            first_sent=entry.first_sent_at,
            not_after=now + self._task_life_s,
            marked=is_marked(entry.sends),
            to=self._to(),
        )
        return Send(self._id_of_this_send(entry), arguments)

    def task_id(self, entry: InFlight) -> str:
        """Return the id of its first task, under which marks and failures of every send are kept."""
        return task_id(self._topic, entry.record.partition.number, entry.record.offset, entry.position)

    def _id_of_this_send(self, entry: InFlight) -> str:
        first, number = self.task_id(entry), len(entry.nonces)
        return first if number == 1 else repetition_id(first, number, entry.nonces[-1])

    @contextmanager
    def _open_channel(self) -> Iterator[Any]:
        try:
            if self._channel is None:
                self._connection = self._app.connection_for_write(transport_options=self._transport_options())
                # RabbitMQ would wait in vain for heartbeats of a bridge that has nothing to send, and hang up.
                self._connection.heartbeat = 0
                # Otherwise kombu connects at the first publish, and pauses for seconds before it tries again.
                self._connection.ensure_connection(max_retries=1, interval_start=0, timeout=PUBLISH_TIMEOUT_S)
                self._channel = self._connection.channel()
                # A broker drops what is for no queue.
                maybe_declare(self._app.amqp.queues[self._app.conf.task_default_queue], self._channel)
            yield self._channel
        except self._errors() as error:
            self._drop()
            raise EnqueueError(reason(error)) from error

    def _drop(self) -> None:
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            connection.collect(socket_timeout=FAREWELL_S)  # a silent broker would not answer a polite one

    def _transport_options(self) -> dict[str, Any]:
        # AMQP declares queues and says goodbye without a deadline of its own. Other transports ignore these two.
        deadlines = {"read_timeout": PUBLISH_TIMEOUT_S, "write_timeout": PUBLISH_TIMEOUT_S}
        return {**self._app.conf.broker_transport_options, **deadlines}

    def _errors(self) -> tuple[type[Exception], ...]:
        known: tuple[type[Exception], ...] = (KombuError, OSError)
        if self._connection is not None:
            known += cast("tuple[type[Exception], ...]", self._connection.connection_errors)
            known += cast("tuple[type[Exception], ...]", self._connection.channel_errors)
        return known

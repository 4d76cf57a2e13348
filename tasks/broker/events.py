"""Celery's events of tasks, up to ten messages a second: Celery publishes them whenever its loop comes round.

A worker with threads loses none either: https://github.com/celery/celery/issues/10434
"""

import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
from celery.app.events import Events as CeleryEvents
from celery.events.dispatcher import EventDispatcher
from redis.exceptions import TimeoutError as RedisTimeoutError

AT_ONCE_MAX: Final = 2_000
"""The most events in one message."""

EVERY_S: Final = 0.1
"""The shortest time between two messages, unless there are as many events: one costs as much as several tasks."""

TWICE: Final = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}
"""How often an event is tried where Celery would try for ever: it sends heartbeats in the loop's own thread.

The worker would say nothing of a broker that is away, and keep the locks that it holds, until that is back.
"""

_encoder = msgspec.json.Encoder()


_CeleryDispatcher: Any = EventDispatcher  # whose types leave out what is used here


class Dispatcher(_CeleryDispatcher):  # type: ignore[misc]
    """Publishes the events of one worker."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Celery's
        # Where Celery has an event loop, the consumer that owns it is to be told of an event in the buffer.
        self._consumer: Any = getattr(kwargs.get("on_send_buffered"), "__self__", None)
        self._next = 0.0
        self._planned = False
        if self._consumer is not None:
            kwargs["on_send_buffered"] = self._buffered
        super().__init__(*args, **{"buffer_limit": AT_ONCE_MAX, **kwargs})

    def _buffered(self) -> None:
        """Have the buffer looked at in the loop's own thread; this may be another one."""
        self._consumer.hub._ready.add(self._flush_when_due)  # noqa: SLF001 - as Celery's consumer does

    def _flush_when_due(self) -> None:
        remaining_s = self._next - time.monotonic()
        if remaining_s <= 0:
            self.flush()
        elif not self._planned:
            self._planned = True
            self._consumer.hub.call_later(remaining_s, self._flush_as_planned)

    def _flush_as_planned(self) -> None:
        self._planned = False
        self.flush()

    def flush(self, errors: bool = True, groups: bool = True) -> None:  # noqa: FBT001, FBT002 - Celery's
        """Publish what is buffered."""
        self._next = time.monotonic() + EVERY_S
        super().flush(errors=errors, groups=False)
        if not groups:
            return
        with self.mutex:
            for group, events in list(self._group_buffer.items()):
                batch = events[:]
                if batch:
                    self._publish(batch, self.producer, f"{group}.multi")
                del events[: len(batch)]  # not all: other threads append meanwhile

    def _publish(self, event: Any, producer: Any, routing_key: str, **options: Any) -> None:  # noqa: ANN401 - Celery's
        super()._publish(event, _Encoded(producer, self._hangs), routing_key, **options)

    def _hangs(self, error: Exception) -> None:
        """Have the worker drop its connections: who does not answer here does not answer there either."""
        if self._consumer is not None:  # by a timer, of which nothing is left if they are dropped already
            self._consumer.hub.call_later(0, _raise, error)


def _raise(error: Exception) -> None:
    raise error


class _Encoded:
    """A producer that is given what is encoded already: Celery's own encoder takes ten times as long.

    It tries no broker again that does not answer: a deadline is long enough for the worker's only thread.
    """

    def __init__(self, producer: Any, on_timeout: Callable[[Exception], None]) -> None:  # noqa: ANN401 - kombu's
        self._producer = producer
        self._on_timeout = on_timeout

    def publish(self, event: object, *, serializer: str, retry: bool = False, **options: Any) -> None:  # noqa: ANN401 - kombu's
        if serializer == "json":
            event = _encoder.encode(event)
            options |= {"content_type": "application/json", "content_encoding": "utf-8"}
        else:
            options["serializer"] = serializer
        try:
            self._producer.publish(event, **options)
        except (TimeoutError, RedisTimeoutError) as error:
            self._on_timeout(error)
            raise
        except Exception:
            if not retry:
                raise
            self._producer.publish(event, **options | {"retry": True, "retry_policy": TWICE})


class Events(CeleryEvents):
    """What the application has in the place of Celery's."""

    dispatcher_cls = "tasks.broker.events:Dispatcher"

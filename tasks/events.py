"""Celery's events of tasks, as many in one message as there are: Celery publishes them by the two dozen.

A worker with threads loses none either: https://github.com/celery/celery/issues/10434
"""

from typing import Any, Final

import msgspec
from celery.app.events import Events as CeleryEvents
from celery.events.dispatcher import EventDispatcher

AT_ONCE_MAX: Final = 2_000
"""The most events in one message; usually it goes when the worker's loop comes round."""

_encoder = msgspec.json.Encoder()


_CeleryDispatcher: Any = EventDispatcher  # whose types leave out what is used here


class Dispatcher(_CeleryDispatcher):  # type: ignore[misc]
    """Publishes the events of one worker."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Celery's
        super().__init__(*args, **{"buffer_limit": AT_ONCE_MAX, **kwargs})

    def flush(self, errors: bool = True, groups: bool = True) -> None:  # noqa: FBT001, FBT002 - Celery's
        """Publish what is buffered."""
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
        super()._publish(event, _Encoded(producer), routing_key, **options)


class _Encoded:
    """A producer that is given what is encoded already: Celery's own encoder takes ten times as long."""

    def __init__(self, producer: Any) -> None:  # noqa: ANN401 - kombu's
        self._producer = producer

    def publish(self, event: object, *, serializer: str, **options: Any) -> None:  # noqa: ANN401 - kombu's
        if serializer == "json":
            self._producer.publish(
                _encoder.encode(event), content_type="application/json", content_encoding="utf-8", **options
            )
        else:
            self._producer.publish(event, serializer=serializer, **options)


class Events(CeleryEvents):
    """What the application has in the place of Celery's."""

    dispatcher_cls = "tasks.events:Dispatcher"

"""Celery's Redis broker, fetched from by the hundred: kombu's transport takes one message in each round trip.

``celeryconfig.py`` names these to kombu. With ``ack_emulation`` off nothing needs to be kept of what was fetched: the
bridge sends again whatever a killed worker had in flight. Of kombu's own, ``_brpop_start`` and ``_brpop_read`` are
replaced, which carry no promise: pyproject.toml holds kombu below 5.8, and test_transport.py says what they must do.

Whatever Redis refuses is a lost connection here: docs/decisions/0022-a-refusal-is-a-lost-connection.md
"""

import contextlib
import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from queue import Empty
from typing import Any, Final

import msgspec
from kombu.transport import redis, virtual
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads
from redis.exceptions import RedisError, ResponseError

logger = logging.getLogger(__name__)

FETCH_MAX: Final = 128
"""The most messages in one reply, however many a worker may prefetch: they are in no queue until they are handled."""

PUT_BYTES: Final = 2**20
"""About how much one command puts into a queue."""

OVERDUE_S: Final = 1.0
"""How long after its time an answer may come that is still worth waiting for."""

_KOMBU_TYPE: Final = b'"__type__"'
"""What marks one of kombu's own types in JSON, in which quotes that are part of a string are escaped."""

CONNECTION_ERRORS: Final[tuple[type[Exception], ...]] = (*redis.Transport.connection_errors, RedisError)
"""What is answered by connecting anew: to kombu READONLY, MISCONF, NOPERM and their like are the caller's mistake.

They are the server's state; Celery would end the worker for them. Behind the same name may be another server by now.
"""

_JSON: Final = "application/json"
_decoder = msgspec.json.Decoder()
_KombuChannel: Any = redis.Channel  # whose stubs know little of what is used here


class MalformedError(Exception):
    """Somebody has put into a queue what is no message."""


class Message(virtual.Message):
    """A message whose JSON is decoded by msgspec, unless it may hold one of kombu's own types."""

    def __init__(self, payload: Any, channel: Any = None, **kwargs: Any) -> None:  # noqa: ANN401 - kombu's
        try:
            super().__init__(payload, channel=channel, **kwargs)
            hash(self.delivery_tag)
            self.delivery_info["routing_key"]
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise MalformedError(f"{type(error).__name__}: {error}") from error

    def _decode(self) -> Any:  # noqa: ANN401 - whatever it is
        body: Any = self.body
        allowed = self.accept is None or _JSON in self.accept
        if allowed and self.content_type == _JSON and isinstance(body, bytes) and _KOMBU_TYPE not in body:
            with contextlib.suppress(msgspec.DecodeError):
                return _decoder.decode(body)
        return super()._decode()


class Channel(_KombuChannel):  # type: ignore[misc]
    """A channel whose BRPOP is a BLMPOP; on a Redis before 7.0 it stays a BRPOP."""

    Message = Message

    _one_by_one = False
    _writer: Any = None

    def put_many(self, queue: str, messages: Iterable[bytes]) -> None:
        """Put messages, in the form that they have in Redis, into a queue; some may be in it when this raises."""
        if self._writer is None:  # kombu makes a client for each message, which costs more than the message
            self._writer = self._create_client()
        with self._writer.pipeline(transaction=False) as pipeline:
            for batch in _pieces(messages):
                pipeline.lpush(self._q_for_pri(queue, self.priority_steps[0]), *batch)
            pipeline.execute()

    def _brpop_start(self, timeout: float | None = None) -> None:
        if self._one_by_one:
            super()._brpop_start(timeout)
            return
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        keys = [self._q_for_pri(queue, step) for step in self.priority_steps for queue in queues]
        if self.global_keyprefix:
            keys = [f"{self.global_keyprefix}{key}" for key in keys]
        room = self.qos.can_consume_max_estimate()
        count = FETCH_MAX if room is None else max(1, min(FETCH_MAX, room))
        self._in_poll = self.client.connection
        self._brpop_sent_at = time.monotonic()
        wait_s = self.brpop_timeout if timeout is None else timeout
        self.client.connection.send_command("BLMPOP", wait_s or 0, len(keys), *keys, "RIGHT", "COUNT", count)

    def close(self) -> None:
        """Close it; its connections are gone afterwards, whatever the server answers."""
        if self._in_poll and time.monotonic() > self._brpop_sent_at + self.brpop_timeout + OVERDUE_S:
            self._in_poll.disconnect()  # a server that hangs would be waited for
            self._in_poll = None
        try:
            super().close()
        except CONNECTION_ERRORS:
            self._in_poll = None  # its answer was the refusal
            self.auto_delete_queues.clear()
            super().close()

    def _brpop_read(self, **options: Any) -> bool:  # noqa: ANN401 - kombu's own
        if self._one_by_one:
            try:
                return bool(super()._brpop_read(**options))
            except (AttributeError, TypeError, ValueError) as error:
                _drop("a queue", error)
                raise Empty from error
        try:
            answer = self._read_reply(options)
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        if not answer:
            raise Empty
        key, messages = answer
        queue = bytes_to_str(key).rsplit(self.sep, 1)[0].removeprefix(self.global_keyprefix or "")
        self._queue_cycle.rotate(queue)
        self._deliver_all(queue, bytes_to_str(key), deque(messages))
        return True

    def _read_reply(self, options: dict[str, Any]) -> Any:  # noqa: ANN401 - Redis's answer
        try:
            return self.client.parse_response(self.client.connection, "BLMPOP", **options)
        except CONNECTION_ERRORS as error:
            if isinstance(error, ResponseError) and "unknown command" in str(error):
                self._one_by_one = True
                return None
            self.client.connection.disconnect()  # so that the next turn connects again
            raise

    def _deliver_all(self, queue: str, key: str, messages: deque[bytes]) -> None:
        transport: Any = self.connection
        consumed, deliver = transport._callbacks, transport._deliver  # noqa: SLF001 - as kombu's own does
        try:
            while messages and queue in consumed:
                message = messages.popleft()
                try:
                    decoded = _decode(message)
                except (AttributeError, LookupError, TypeError, ValueError) as error:
                    _drop(queue, error)
                else:
                    deliver(decoded, queue)
        finally:
            # Nobody consumes any more, or an error has interrupted it: the rest is in no queue until it is put back.
            if messages:
                with self.conn_or_acquire() as client:
                    client.rpush(key.removeprefix(self.global_keyprefix or ""), *reversed(messages))


def _drop(queue: str, error: Exception) -> None:
    """Say that what was in a queue is no message; whoever is still waiting for it sends it again."""
    logger.error("dropped from %s what is no message of Celery's: %s", queue, error)


def _decode(message: bytes) -> Any:  # noqa: ANN401 - kombu's envelope
    # kombu puts a body that it has seen as bytes back in a type of its own.
    if _KOMBU_TYPE not in message:
        with contextlib.suppress(msgspec.DecodeError):  # NaN, or text that is not UTF-8: kombu may know better
            return _decoder.decode(message)
    return loads(bytes_to_str(message))


def _pieces(messages: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The messages in pieces that Redis takes into its memory one after the other."""
    piece: list[bytes] = []
    size = 0
    for message in messages:
        piece.append(message)
        size += len(message)
        if size >= PUT_BYTES:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


class SentinelChannel(Channel, redis.SentinelChannel):  # type: ignore[misc]
    """A channel to the primary that Sentinels name."""


class Transport(redis.Transport):
    """The broker is one Redis."""

    Channel = Channel
    connection_errors = CONNECTION_ERRORS
    _leave_loop: ExitStack

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:  # noqa: ANN401 - kombu's
        """Poll in Celery's loop until the connection is closed: kombu itself never leaves the loop."""
        before = set(loop.on_tick)
        super().register_with_event_loop(connection, loop)
        self._leave_loop = ExitStack()
        for polled in loop.on_tick - before:
            self._leave_loop.callback(loop.on_tick.discard, polled)

    def close_connection(self, connection: Any) -> None:  # noqa: ANN401 - kombu's
        """Close all channels, and leave the loop."""
        with getattr(self, "_leave_loop", contextlib.nullcontext()):
            super().close_connection(connection)

    def _deliver(self, message: Any, queue: Any) -> None:  # noqa: ANN401 - whatever somebody has put there
        try:
            super()._deliver(message, queue)
        except MalformedError as error:
            _drop(queue, error)


class SentinelTransport(Transport, redis.SentinelTransport):
    """The broker is behind Redis Sentinels."""

    Channel = SentinelChannel

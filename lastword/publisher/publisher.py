"""Publishing changes from a service: keyed by entity, idempotent, every delivery accounted for.

Source: docs/publishing.md
"""

import atexit
import contextlib
import logging
import os
import time
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Final, Self

from confluent_kafka import KafkaError, KafkaException

from lastword.contract.change import Change, record_of
from lastword.contract.record import Rules
from lastword.kafka.refusal import Properties
from lastword.publisher.accounts import Accounts, OnDelivered
from lastword.publisher.producing import Producing, in_a_callback
from lastword.publisher.publish_errors import BufferFullError, DeliveryError, PublishError
from lastword.settings.bridge import BridgeSettings, complaint_about_property, kafka_properties, refuse_unknown_settings
from lastword.settings.shared import SettingsError, TaskSettings, load

logger = logging.getLogger(__name__)

RENEW_AFTER_S: Final = 1.0

Headers = Sequence[tuple[str, bytes | None]]
OnFailed = Callable[[Change, str], None]


class Publisher:
    """Sends changes to one topic, in the background, from any number of threads; memory is bounded.

    A change that Kafka does not take within ``delivery.timeout.ms`` (5 minutes) is handed to ``on_failed`` with the
    reason, in the publisher's own thread: it may publish again, and must not wait. Without ``on_failed``, failures are
    logged and kept for the next ``flush`` or ``close``, which raises them.

    A child process that is forked begins anew, with an empty buffer; what the parent has in flight stays its own.
    """

    def __init__(
        self,
        properties: Properties,
        topic: str,
        *,
        rules: Rules | None = None,
        on_failed: OnFailed | None = None,
        buffer_timeout_s: float = 10.0,
    ) -> None:
        self._properties = dict(properties)
        self._topic = topic
        self._rules = rules or Rules()
        self._on_failed = on_failed
        self._buffer_timeout_s = buffer_timeout_s
        self._closed = False
        self._inherited: list[Producing] = []
        self._accounts = Accounts()
        self._producing: Producing | None = self._open()
        _publishers.add(self)
        atexit.register(self._close_at_exit)

    @classmethod
    def from_environment(cls, *, on_failed: OnFailed | None = None, buffer_timeout_s: float = 10.0) -> Self:
        """Make one by the variables that the bridge reads: KAFKA_BOOTSTRAP_SERVERS, LASTWORD_TOPIC, LASTWORD_KAFKA_….

        SettingsError names every wrong one.
        """
        refuse_unknown_settings()
        settings = load(BridgeSettings)
        # What else a service calls REDIS_URL is its own business: of these settings the rules alone are needed.
        rules = load(TaskSettings, redis_url="redis://").rules
        try:
            return cls(
                kafka_properties(settings),
                settings.topic,
                rules=rules,
                on_failed=on_failed,
                buffer_timeout_s=buffer_timeout_s,
            )
        except KafkaException as error:
            # librdkafka's own words may quote a secret.
            raise SettingsError(complaint_about_property(error.args[0].str())) from None

    def publish(self, change: Change) -> None:
        """Send a change; return when it is in the buffer, which may have to be waited for.

        Raises:
            InvalidUpdateError: the bridge would not understand it.
            BufferFullError: there was no room for ``buffer_timeout_s``.
            PublishError: it is too large, or the publisher is closed.
        """
        key, value = record_of(change, self._rules)
        self._send(key, value, (), partial(self._fail, change), None)

    def publish_record(
        self,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        *,
        on_delivered: OnDelivered | None = None,
        on_failed: Callable[[str], None] | None = None,
    ) -> None:
        """Send a record as it is, unchecked; then ``on_delivered`` is called with it, or ``on_failed`` with why not."""
        self._send(key, value, headers, on_failed or partial(self._fail, None), on_delivered)

    def flush(self, timeout_s: float = 30.0) -> None:
        """Wait until all that was published is delivered, what other threads add meanwhile included.

        DeliveryError when something is still under way after ``timeout_s``, or has failed and went to no ``on_failed``.
        """
        self._accounts.wait(timeout_s)
        self._accounts.raise_failures()

    def close(self, timeout_s: float = 10.0) -> None:
        """Wait up to ``timeout_s`` for what is under way, then give it up; nothing can be published any more.

        What is given up is reported like every failure. DeliveryError as in ``flush``; closed already: no effect.
        """
        with self._accounts.changed:
            if self._closed:
                return
            self._closed = True
        atexit.unregister(self._close_at_exit)
        try:
            self._accounts.wait(timeout_s)
        finally:
            if self._producing is not None:
                self._producing.stop()
                self._producing.join()
        self._accounts.raise_failures()

    @property
    def pending(self) -> int:
        """How many records are under way."""
        return self._accounts.pending

    @property
    def delivered(self) -> int:
        """How many Kafka has taken."""
        return self._accounts.delivered

    @property
    def failed(self) -> int:
        """How many it has not."""
        return self._accounts.failed

    @property
    def trouble(self) -> str:
        """What keeps records from being delivered at the moment, in brackets; empty when nothing is known."""
        return self._producing.told_trouble if self._producing is not None else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        try:
            self.close()
        except DeliveryError as failures:
            if kind is None:
                raise
            logger.error("%s", failures)  # noqa: TRY400 - another error is on its way already

    def _open(self) -> Producing:
        self._opened_at = time.monotonic()
        return Producing(self._properties, self._accounts.tell)

    def _send(
        self,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        on_failed: Callable[[str], None],
        on_delivered: OnDelivered | None,
    ) -> None:
        end = time.monotonic() + self._buffer_timeout_s
        with self._accounts.changed:
            while True:
                if self._closed:
                    raise PublishError("the publisher is closed")
                if self._producing is not None and self._producing.is_lost:
                    self._producing.stop()
                    self._producing = None
                if self._producing is None:
                    self._producing = self._open()
                report = self._accounts.report(self._producing, on_failed, on_delivered)
                try:
                    self._producing.producer.produce(
                        self._topic, key=key, value=value, headers=list(headers), on_delivery=report
                    )
                except BufferError:
                    self._wait_for_room(end)
                except KafkaException as error:
                    self._renew(self._producing, error.args[0])
                else:
                    self._accounts.pending += 1
                    return

    def _wait_for_room(self, end: float) -> None:
        remaining_s = end - time.monotonic()
        waits = not in_a_callback()
        if remaining_s <= 0 or not waits:
            raise BufferFullError(
                f"topic {self._topic!r}: {self._accounts.pending} records wait for Kafka and the buffer is full, after "
                f"{self._buffer_timeout_s if waits else 0:g} s still; not published"
            )
        self._accounts.changed.wait(remaining_s)

    def _renew(self, producing: Producing, error: KafkaError) -> None:
        """Go on with a new producer after a fatal error, which no idempotent one survives; raise any other error."""
        fatal = error.code() == KafkaError._FATAL  # noqa: SLF001 - the library's own name for the code
        if not fatal or time.monotonic() < self._opened_at + RENEW_AFTER_S:
            raise PublishError(f"topic {self._topic!r}: {producing.reason(error)}")
        producing.stop()
        self._producing = self._open()

    def _fail(self, change: Change | None, reason: str) -> None:
        if change is not None and self._on_failed is not None:
            self._on_failed(change, reason)
            return
        self._accounts.keep(change, reason)

    def _close_at_exit(self) -> None:
        with contextlib.suppress(DeliveryError):
            self.close()

    def after_fork(self) -> None:
        """Forget, in a child process, what is the parent's."""
        # The parent's producer has no threads here. It is kept: to free it could wait for them.
        if self._producing is not None:
            self._inherited.append(self._producing)
            self._producing = None
        self._accounts = Accounts()


_publishers: weakref.WeakSet[Publisher] = weakref.WeakSet()


def _after_fork() -> None:
    for publisher in _publishers:
        publisher.after_fork()


os.register_at_fork(after_in_child=_after_fork)

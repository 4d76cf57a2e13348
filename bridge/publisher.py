"""Publishing changes from a service or a file: keyed by product, idempotent, every delivery accounted for."""

import logging
from collections.abc import Callable, Mapping
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

logger = logging.getLogger(__name__)

PRODUCER_DEFAULTS: Final[dict[str, str | int | bool]] = {
    "linger.ms": 10,
    "compression.type": "lz4",
}

PRODUCER_GUARANTEES: Final[dict[str, str | int | bool]] = {
    "enable.idempotence": True,  # implies acks=all, and no record twice or out of order because of a retry
    # librdkafka's own default is CRC32: a product would be on one partition from Java and on another from Python.
    "partitioner": "murmur2_random",
}


class PublishError(Exception):
    """Records that Kafka did not take."""


class Publisher:
    """Sends records to one topic; memory is bounded, for ``publish`` waits when the buffer is full."""

    def __init__(self, properties: Mapping[str, str | int | bool], topic: str) -> None:
        self._producer = Producer({**PRODUCER_DEFAULTS, **properties, **PRODUCER_GUARANTEES}, logger=logger)
        self._topic = topic
        self.delivered = 0
        self.failed: list[str] = []

    def publish(
        self, key: bytes | None, value: bytes | None, *, on_delivered: Callable[[Message], None] | None = None
    ) -> None:
        """Send one record; ``on_delivered`` is called with it, in ``publish`` or ``flush``, once Kafka has it."""

        def report(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                self.failed.append(f"record with key {key!r}: {error.str()}")
                return
            self.delivered += 1
            if on_delivered is not None:
                on_delivered(message)

        while True:
            try:
                self._producer.produce(self._topic, key=key, value=value, on_delivery=report)
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:
                raise PublishError(f"topic {self._topic!r}: {error.args[0].str()}") from error
            else:
                self._producer.poll(0)
                return

    def flush(self, timeout_s: float) -> int:
        """Wait up to ``timeout_s`` until all records are delivered or failed; return how many are neither."""
        return self._producer.flush(timeout_s)

"""One librdkafka producer and the thread that hears what becomes of its records."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Producer

from lastword.kafka.client import CLIENT_DEFAULTS, BrokerList
from lastword.kafka.refusal import Properties

logger = logging.getLogger(__name__)

POLL_S: Final = 0.2
END_S: Final = 5.0

PRODUCER_DEFAULTS: Final[dict[str, str | int | bool]] = {
    **CLIENT_DEFAULTS,
    "linger.ms": 10,
    "compression.type": "lz4",
    # librdkafka's own default is 1 GiB, much for a web server's process.
    "queue.buffering.max.kbytes": 65_536,
}

PRODUCER_GUARANTEES: Final[dict[str, str | int | bool]] = {
    "acks": "all",
    "enable.idempotence": True,  # no record twice or out of order because of a retry
    # librdkafka's own default is CRC32: an entity would be on one partition from Java and on another from Python.
    "partitioner": "murmur2_random",
}


_serving = threading.local()


def in_a_callback() -> bool:
    """Whether this is the thread of a producer, also of one that another has replaced: it must not wait for itself."""
    return getattr(_serving, "inside", False)


class Producing:
    """A producer whose callbacks run in a thread of its own, at once, whether or not anybody calls anything.

    ``on_served`` is called there after some of them have run. ``trouble`` is the last one heard of, if any.
    """

    def __init__(self, properties: Properties, on_served: Callable[[], None]) -> None:
        self.trouble = ""
        self._end = ""
        self._on_served = on_served
        self._stopping = threading.Event()
        self._brokers = BrokerList()
        self.producer = Producer(
            {
                **PRODUCER_DEFAULTS,
                **self._brokers.properties(),
                **properties,
                **PRODUCER_GUARANTEES,
                "error_cb": self._on_error,
            },
            logger=logger,
        )
        self._thread = threading.Thread(target=self._serve, name="publisher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Give up what is not delivered, each record with a report of its own, and end soon."""
        if self.is_lost:
            self._end = "the client of Kafka has forgotten every broker"
        self.producer.purge()
        self._stopping.set()

    def join(self) -> None:
        """Wait until the last report is made."""
        if not in_a_callback():
            self._thread.join(END_S)

    @property
    def is_lost(self) -> bool:
        """Whether it has forgotten every Kafka broker, and will deliver nothing any more."""
        return self._brokers.forgotten

    @property
    def told_trouble(self) -> str:
        """The trouble in brackets, to put behind a sentence; empty without any."""
        return f" ({self.trouble})" if self.trouble else ""

    def reason(self, error: KafkaError) -> str:
        """Return why a record was not delivered, for a person."""
        what = self._end or f"the publisher was closed{self.told_trouble}"
        if error.code() == KafkaError._PURGE_QUEUE:  # noqa: SLF001 - the library's own names for the codes
            return f"{what}, before the record was sent"
        if error.code() == KafkaError._PURGE_INFLIGHT:  # noqa: SLF001
            return f"{what}, before Kafka confirmed the record: it may have arrived"
        if error.code() == KafkaError._FATAL and self._end:  # noqa: SLF001
            return self._end
        if error.code() == KafkaError._MSG_TIMED_OUT:  # noqa: SLF001
            return f"{error.str()}{self.told_trouble}"
        return error.str()

    def _on_error(self, error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - what came before it tells more
            self.trouble = error.str()

    def _serve(self) -> None:
        _serving.inside = True
        # Only here, and by poll() alone: a fatal error makes the binding raise, and flush() would go on to call the
        # reports of other records with that exception set, which breaks them.
        while not (self._stopping.is_set() and len(self.producer) == 0):
            try:
                served = self.producer.poll(POLL_S)
            except KafkaException as error:
                self._end = error.args[0].str()
                logger.error("the producer has failed for good: %s", self._end)  # noqa: TRY400 - no bug
                served = 1
            if served:
                self._on_served()

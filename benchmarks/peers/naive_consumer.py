"""The consumer of the naive version: a ``.delay`` for each record; offsets are committed as they are read."""

import json
import os
import signal
from contextlib import closing, suppress

from confluent_kafka import Consumer

from benchmarks.peers.naive import refresh_product
from benchmarks.peers.plain import report


def main() -> None:
    """Consume until SIGTERM."""
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"],
            "group.id": os.environ["LASTWORD_CONSUMER_GROUP"],
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([os.environ["LASTWORD_TOPIC"]], on_assign=report)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), closing(consumer):
        while True:
            message = consumer.poll(1.0)
            if message is not None and message.error() is None:
                refresh_product.delay(json.loads(message.value() or b""))


if __name__ == "__main__":
    main()

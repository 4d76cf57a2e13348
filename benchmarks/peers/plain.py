"""A consumer that writes Redis itself with the project's script, in batches: no Celery, no locks, one process."""

import signal
from contextlib import closing, suppress
from functools import partial
from typing import Any

from confluent_kafka import Consumer, Message, TopicPartition

from lastword.cache.cache import Cache, Write
from lastword.cache.opening import open_cache
from lastword.contract.outcome import Outcome
from lastword.contract.record import Update, decode
from lastword.kafka.coordinator import ask
from lastword.settings.bridge import BridgeSettings
from lastword.settings.shared import TaskSettings, load

BATCH = 500
POLL_S = 0.1


def main() -> None:
    """Consume, decode, write, commit what is written, until SIGTERM."""
    settings, task_settings = load(BridgeSettings), load(TaskSettings)
    cache = open_cache(task_settings)
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap_servers,
            "group.id": settings.consumer_group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([settings.topic], on_assign=report)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), closing(consumer):
        while True:
            messages = consumer.consume(BATCH, POLL_S)
            if messages:
                write(cache, [update for message in messages for update in updates_in(message, task_settings)])
                ask(partial(consumer.commit, asynchronous=False))


def report(_: Consumer, partitions: list[TopicPartition]) -> None:
    """Say that consuming begins."""
    print(f"{len(partitions)} partitions assigned", flush=True)


def updates_in(message: Message, settings: TaskSettings) -> list[Update]:
    """Return the updates in a record; the errors of a broken one end the program."""
    error = message.error()
    if error is not None:
        raise RuntimeError(error.str())
    kind, timestamp_ms = message.timestamp()
    given: dict[str, Any] = {"offset": message.offset() or 0, "timestamp_ms": timestamp_ms if kind else None}
    return decode(key=message.key(), value=message.value(), headers=(), rules=settings.rules, **given)


def write(cache: Cache, updates: list[Update]) -> None:
    """Write all updates; the first error of one ends the program before anything of this batch is committed."""
    for answer in cache.write([Write(update, "") for update in updates]):
        if not isinstance(answer, Outcome):
            raise answer


if __name__ == "__main__":
    main()

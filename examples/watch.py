"""What can be seen from outside while the changes travel: the topic, the dead letters, the cache, the task events.

Nothing here uses the project's own contract, cache or window: what the demo claims is checked independently of them.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self, cast

import redis
from celery import Celery
from confluent_kafka import Consumer, TopicPartition

from lastword.kafka import coordinator

SAMPLE_EVERY_S = 0.05

Order = tuple[int, int]
"""Microseconds since the epoch, then the sequence."""


@dataclass(frozen=True)
class Change:
    """One line of the changes file that is a change of a product."""

    product: str
    order: Order
    data: Any
    deleted: bool


def read_change(line: bytes) -> Change | None:
    """Return the change in a line; None where there is none."""
    try:
        record = json.loads(line)
        moment = datetime.fromisoformat(record["updated_at"])
        epoch = datetime.fromtimestamp(0, tz=moment.tzinfo)
        age = moment - epoch
    except (ValueError, TypeError, KeyError):
        return None
    microseconds = (age.days * 86_400 + age.seconds) * 1_000_000 + age.microseconds
    order = (microseconds, record["sequence"])
    return Change(str(record["product_id"]), order, record.get("data"), record.get("deleted", False))


def newest_of(changes: list[Change]) -> dict[str, Change]:
    """Return each product's newest change."""
    newest: dict[str, Change] = {}
    for change in changes:
        if change.product not in newest or newest[change.product].order < change.order:
            newest[change.product] = change
    return newest


def is_shown(held: Mapping[Any, Any], change: Change) -> bool:
    """Whether what Redis holds is this very change, as a reader sees it."""
    if held.get(b"version", b"").decode() != f"{change.order[0]}-{change.order[1]}":
        return False
    if change.deleted:
        return b"deleted" in held and b"data" not in held
    return b"deleted" not in held and json.loads(held[b"data"]) == change.data


class Watcher:
    """Something that is done again and again in a thread of its own, for as long as the block lasts."""

    def __init__(self, watch: Callable[["Watcher"], None]) -> None:
        self._thread = threading.Thread(target=watch, args=(self,), daemon=True)
        self._ended = threading.Event()
        self._watching = threading.Event()

    def begun(self) -> None:
        """Called by the watch itself, when it misses nothing any more."""
        self._watching.set()

    def goes_on(self, pause_s: float = 0.0) -> bool:
        """Whether the block still lasts, after a pause."""
        return not self._ended.wait(pause_s)

    def __enter__(self) -> Self:
        self._thread.start()
        self._watching.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(10)


class Visible:
    """When which version of a product became visible in the cache, as a reader who asks all the time sees it."""

    def __init__(self, client: redis.Redis, key_prefix: str, products: list[str]) -> None:
        self._client = client
        self._key_prefix = key_prefix
        self._seen: dict[str, list[tuple[float, Order]]] = {product: [] for product in products}

    def watch(self, watcher: Watcher) -> None:
        """Ask for every product's version; times are seconds since the epoch, as Kafka's timestamps are."""
        watcher.begun()
        while watcher.goes_on(SAMPLE_EVERY_S):
            pipeline = self._client.pipeline(transaction=False)
            for product in self._seen:
                pipeline.hget(f"{self._key_prefix}{product}", "version")
            versions = cast("list[bytes | None]", pipeline.execute())
            now = time.time()
            for seen, version in zip(self._seen.values(), versions, strict=True):
                order = _order(version)
                if order is not None and (not seen or seen[-1][1] != order):
                    seen.append((now, order))

    def after(self, change: Change, published: float) -> float | None:
        """Return the seconds from its publication until this change, or a newer one, was seen; None: it never was."""
        times = (seen for seen, order in self._seen[change.product] if order >= change.order)
        return next((max(0.0, seen - published) for seen in times), None)


def _order(version: bytes | None) -> Order | None:
    if version is None:
        return None
    microseconds, _, sequence = version.decode().partition("-")
    return int(microseconds), int(sequence)


class Outcomes:
    """Counts what the task events of one worker say."""

    def __init__(self, app: Celery, worker: str) -> None:
        self._app = app
        self._worker = worker
        self.counts: Counter[str] = Counter()
        self.retries = 0

    def watch(self, watcher: Watcher) -> None:
        """Receive events."""
        handlers = {"task-succeeded": self._succeeded, "task-retried": self._retried}
        with self._app.connection_for_read() as connection:
            receiver = self._app.events.Receiver(connection, handlers=handlers)
            with receiver.consumer_context() as (receiving, _, _):
                watcher.begun()
                while watcher.goes_on():
                    with suppress(TimeoutError):
                        receiving.drain_events(timeout=0.2)

    def _succeeded(self, event: dict[str, Any]) -> None:
        if event["hostname"] == self._worker:
            self.counts[str(event["result"]).strip("'")] += 1

    def _retried(self, event: dict[str, Any]) -> None:
        self.retries += event["hostname"] == self._worker


@dataclass(frozen=True)
class Published:
    """A record as it stands on a topic."""

    timestamp: float
    value: bytes
    headers: dict[str, bytes]


class Topics:
    """Reads topics and a group's committed offsets."""

    def __init__(self, servers: str, group: str) -> None:
        self._reader = Consumer({"bootstrap.servers": servers, "group.id": group, "enable.auto.commit": False})

    def ends(self, topic: str) -> dict[int, int]:
        """Return the offset after the last record, by partition."""
        partitions = self._reader.list_topics(topic, timeout=10).topics[topic].partitions
        return {
            number: self._reader.get_watermark_offsets(TopicPartition(topic, number), timeout=10)[1]
            for number in partitions
        }

    def committed(self, topic: str, numbers: list[int]) -> dict[int, int]:
        """Return the group's committed offset by partition; 0 where there is none."""
        asked = [TopicPartition(topic, number) for number in numbers]
        answers = coordinator.committed(self._reader, asked, timeout_s=10)
        return {answer.partition: max(0, answer.offset) for answer in answers}

    def records(self, topic: str) -> Iterator[Published]:
        """All records of a topic, from its beginning to its present end."""
        ends = self.ends(topic)
        left = sum(ends.values())
        self._reader.assign([TopicPartition(topic, number, 0) for number in ends])
        while left:
            message = self._reader.poll(10)
            if message is None or message.error() is not None:
                raise RuntimeError(f"topic {topic} cannot be read to its end")
            left -= 1
            pairs = cast("list[tuple[str, bytes]]", message.headers() or [])
            yield Published(message.timestamp()[1] / 1_000, message.value() or b"", dict(pairs))
        self._reader.unassign()

    def close(self) -> None:
        """Close the connection."""
        self._reader.close()

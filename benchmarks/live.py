"""Latency from Kafka's append to visible in Redis, and how many updates a second can be held, with a live producer."""

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import redis
from confluent_kafka import KafkaError, Message, Producer
from redis.client import PubSub

from benchmarks.contenders import ASSIGNED
from benchmarks.load import Load, data_of, record_of
from benchmarks.meter import Usage
from benchmarks.site import Run, Site, require

PRODUCTS = 20_000
"""So many that a product is visible before it changes again: an event of Redis names the product, not the version."""

LEAST_UPDATES = 200
WARM_UP_S = 2.0
TICK_S = 0.002
BEHIND_S = 2.0
"""Within this time after the last record all is visible, or the rate was not held."""

LATE_S = 60.0
"""For so long what is not visible yet is waited for, so that its latency counts as well."""


@dataclass(frozen=True)
class Latency:
    """What was seen at one rate; times in milliseconds. ``held``: nothing was left behind at the end."""

    rate: float
    updates: int
    p50_ms: float
    p99_ms: float
    most_ms: float
    held: bool
    usage: dict[str, Usage]


@dataclass
class _Seen:
    """When the updates of the products were appended and became visible, in seconds since the epoch, by sequence."""

    appended: dict[int, float] = field(default_factory=dict)
    visible: dict[int, float] = field(default_factory=dict)
    latest: dict[str, int] = field(default_factory=dict)


def live(site: Site, rate: float, seconds: float) -> Latency:
    """Bridge and worker, and a producer that sends ``rate`` records a second, evenly, for so many seconds or more."""
    updates = max(LEAST_UPDATES, round(seconds * rate))
    with (
        site.run(Load("live", []), topic_config={"message.timestamp.type": "LogAppendTime"}) as run,
        run.open_cache() as cache,
        run.worker("tasks") as worker,
        run.program("bridge", "run", "--create-topics") as bridge,
        _told_of_writes(cache, run.names.key_prefix) as events,
    ):
        bridge.wait_for(ASSIGNED)
        seen = _Seen()
        stopping = threading.Event()
        watcher = threading.Thread(target=_watch, args=(events, len(run.names.key_prefix), seen, stopping))
        watcher.start()
        try:
            warm_up = round(WARM_UP_S * rate)
            _produce(run, rate, range(warm_up), seen)
            with run.meter(worker=worker, bridge=bridge) as meter:
                _produce(run, rate, range(warm_up, warm_up + updates), seen)
            held = _all_visible(seen, warm_up + updates, BEHIND_S)
            if not held:
                _all_visible(seen, warm_up + updates, LATE_S)
        finally:
            stopping.set()
            watcher.join()
    numbers = [one for one in range(warm_up, warm_up + updates) if one in seen.visible]
    late = sorted((seen.visible[one] - seen.appended[one]) * 1_000 for one in numbers)
    cuts = statistics.quantiles(late, n=100)
    return Latency(rate, updates, cuts[49], cuts[98], late[-1], held, meter.usage)


def _produce(run: Run, rate: float, numbers: range, seen: _Seen) -> None:
    """Send the updates with these numbers at an even pace; all are in Kafka on return."""
    failures: list[str] = []

    def delivered(number: int, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            failures.append(error.str())
        # In whole milliseconds, cut: the latency is at most one longer than it was.
        seen.appended[number] = message.timestamp()[1] / 1_000

    producer = Producer(
        {
            "bootstrap.servers": run.site.addresses.kafka,
            "acks": "all",
            "partitioner": "murmur2_random",
            "linger.ms": 10,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    begin = time.monotonic()
    for number in numbers:
        while (ahead := (number - numbers.start) / rate - (time.monotonic() - begin)) > 0:
            producer.poll(min(ahead, TICK_S))
        product = str(number % PRODUCTS)
        seen.latest[product] = number
        producer.produce(
            run.names.topic,
            key=product.encode(),
            value=record_of(product, number, data_of(product, number)),
            on_delivery=partial(delivered, number),
        )
        producer.poll(0)
    left = producer.flush(30)
    require(not (left or failures), f"{left + len(failures)} records were not published: {failures[:1]}")


@contextmanager
def _told_of_writes(cache: redis.Redis, prefix: str) -> Iterator[PubSub]:
    """A subscription to Redis's own events of each write of a hash."""
    name = "notify-keyspace-events"
    before = cast("dict[str, str]", cache.config_get(name)).get(name, "")
    cache.config_set(name, "Kh")
    database = cache.connection_pool.connection_kwargs.get("db", 0)
    events = PubSub(cache.connection_pool)
    try:
        events.psubscribe(f"__keyspace@{database}__:{prefix}*")
        require(events.get_message(timeout=5), "no subscription to Redis's events")
        yield events
    finally:
        events.close()
        cache.config_set(name, before)


def _watch(events: PubSub, prefix: int, seen: _Seen, stopping: threading.Event) -> None:
    while not stopping.is_set():
        message: dict[str, Any] | None = events.get_message(timeout=0.1)
        if message is None or message["data"] != b"hset":
            continue
        now = time.time()
        product = message["channel"].split(b":", 1)[1][prefix:].decode()
        seen.visible.setdefault(seen.latest[product], now)


def _all_visible(seen: _Seen, count: int, deadline_s: float) -> bool:
    end = time.monotonic() + deadline_s
    while len(seen.visible) < count:
        if time.monotonic() > end:
            return False
        time.sleep(TICK_S)
    return True

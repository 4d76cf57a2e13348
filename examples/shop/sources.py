"""What the page shows, each part read by itself, from Redis, Kafka, ZooKeeper and Celery: none waits for others."""

import contextlib
import json
import logging
import statistics
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final, Generic, TypeVar, cast
from urllib.parse import unquote

import redis
from celery import Celery
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition
from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError
from kombu.exceptions import KombuError
from sqlalchemy.exc import SQLAlchemyError

from lastword.kafka import coordinator
from servers.kafka import silent
from tasks.lock.path import SHARDS

logger = logging.getLogger(__name__)

CALL_S: Final = 2.0
KEPT: Final = 20
WINDOW_S: Final = 5.0
AWAY: Final = (
    OSError,
    LookupError,
    redis.RedisError,
    KafkaException,
    KombuError,
    KazooException,
    KazooTimeoutError,
    SQLAlchemyError,
)
"""What is raised where a server is away, or a topic is not there yet."""

T = TypeVar("T")


class Sampled(Generic[T]):
    """Something that is read again and again, in a thread of its own; ``trouble`` says why there is nothing new."""

    def __init__(self, read: Callable[[], T], first: T, every_s: float) -> None:
        self.value = first
        self.trouble = ""
        self._read = read
        self._every_s = every_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(self._every_s):
            try:
                self.value = self._read()
                self.trouble = ""
            except Exception as error:  # the edge of a thread: what is wrong is shown, and it goes on
                if not isinstance(error, AWAY):
                    logger.exception("the page cannot show this")
                self.trouble = str(error) or type(error).__name__

    def close(self) -> None:
        """Read no more."""
        self._ended.set()


class Held:
    """What Redis holds of products, and how long after its commit each change was visible there."""

    def __init__(self, url: str, key_prefix: str, *, own: bool) -> None:
        self._own = own
        self._url = url
        self._key_prefix = key_prefix
        self._client = redis.Redis.from_url(url, socket_timeout=CALL_S, socket_connect_timeout=CALL_S)
        self._latencies: deque[tuple[float, float]] = deque(maxlen=20_000)

    def read(self, product_ids: Sequence[int]) -> dict[int, dict[str, Any]]:
        """The products that are there."""
        pipeline = self._client.pipeline(transaction=False)
        for product_id in product_ids:
            pipeline.hmget(f"{self._key_prefix}{product_id}", "version", "updated_at", "data", "deleted")
        answers = cast("list[list[bytes | None]]", pipeline.execute())
        return {
            product_id: _product(answer) for product_id, answer in zip(product_ids, answers, strict=True) if answer[0]
        }

    def follow(self) -> None:
        """Note when changes become visible, as Redis itself tells it; until its connection ends."""
        if self._own:  # elsewhere it is somebody's setting: without it the page shows no times
            self._client.config_set("notify-keyspace-events", "Kh")
        with redis.Redis.from_url(self._url, socket_connect_timeout=CALL_S) as client, client.pubsub() as events:
            events.psubscribe(f"__keyspace@*__:{self._key_prefix}*")
            while True:
                seen = _keys(events)
                if not seen:
                    continue
                pipeline = self._client.pipeline(transaction=False)
                for key in seen:
                    pipeline.hget(key, "updated_at")
                times = cast("list[bytes | None]", pipeline.execute())
                for seen_at, time_ in zip(seen.values(), times, strict=True):
                    if time_ is not None:
                        committed = datetime.fromisoformat(time_.decode()).timestamp()
                        self._latencies.append((seen_at, max(0.0, seen_at - committed)))

    def latency(self) -> dict[str, float] | None:
        """The median and the 99th percentile of the last seconds, in milliseconds; None where nothing came."""
        since = time.time() - WINDOW_S
        found = [latency * 1_000 for seen_at, latency in list(self._latencies) if seen_at >= since]
        if not found:
            return None
        quantiles = statistics.quantiles(found, n=100) if len(found) > 1 else found * 99
        return {"p50": quantiles[49], "p99": quantiles[98]}


def _keys(events: Any) -> dict[bytes, float]:  # noqa: ANN401 - redis-py's
    """The keys that were written just now, and when that was heard of first."""
    seen: dict[bytes, float] = {}
    message = events.get_message(ignore_subscribe_messages=True, timeout=0.5)
    while message is not None:
        if message["data"] == b"hset":
            seen.setdefault(message["channel"].partition(b"__:")[2], time.time())
        message = events.get_message(ignore_subscribe_messages=True) if len(seen) < 100 else None
    return seen


def _product(answer: list[bytes | None]) -> dict[str, Any]:
    version, updated_at, data, deleted = answer
    shown: dict[str, Any] = {} if data is None else json.loads(data)
    return shown | {
        "version": int((version or b"0-0").partition(b"-")[2]),
        "updated_at": (updated_at or b"").decode(),
        "deleted": deleted is not None,
    }


class Topic:
    """How far the bridge is behind the topic, and what could not be applied."""

    def __init__(self, servers: str, topic: str, letters: str, group: str) -> None:
        self._properties: dict[str, Any] = {
            "bootstrap.servers": servers,
            "enable.auto.commit": False,
            "error_cb": lambda _: None,
        }
        self._topic, self._letters, self._name = topic, letters, group
        self._group: Consumer | None = None
        self._reader: Consumer | None = None
        self._last: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self.letters = 0

    def lag(self) -> int:
        """Records that are published and not committed."""
        if self._group is None:
            self._group = Consumer({**self._properties, "group.id": self._name}, logger=silent)
        try:
            partitions = self._group.list_topics(self._topic, timeout=CALL_S).topics[self._topic].partitions
            total = 0
            asked = [TopicPartition(self._topic, number) for number in partitions]
            for one in coordinator.committed(self._group, asked, timeout_s=CALL_S):
                low, high = self._group.get_watermark_offsets(one, timeout=CALL_S)
                total += high - (one.offset if one.offset >= 0 else low)
        except KafkaException:
            self._renew()
            raise
        return total

    def _renew(self) -> None:
        # A client that Kafka has not answered for long may know none of its brokers any more.
        group, self._group = self._group, None
        if group is not None:
            threading.Thread(target=group.close, daemon=True).start()

    def last_letters(self) -> list[dict[str, Any]]:
        """The last dead letters, the last one first."""
        if self._reader is None:
            reader = Consumer({**self._properties, "group.id": f"{self._name}-page"}, logger=silent)
            partitions = reader.list_topics(self._letters, timeout=CALL_S).topics[self._letters].partitions
            reader.assign([TopicPartition(self._letters, number, OFFSET_BEGINNING) for number in partitions])
            self._reader = reader
        for message in self._reader.consume(100, 0.05):
            if message.error() is None:
                headers = dict(cast("list[tuple[str, bytes]]", message.headers() or []))
                self.letters += 1
                self._last.appendleft(
                    {
                        "key": (message.key() or b"").decode(errors="replace"),
                        "reason": headers.get("__lastword.errors.message", b"").decode(errors="replace"),
                        "at": message.timestamp()[1] / 1_000,
                    }
                )
        return list(self._last)


class Locks:
    """Who holds which product's lock."""

    def __init__(self, hosts: str, root: str) -> None:
        self._root = f"{root}/locks"
        self._client = KazooClient(hosts, timeout=CALL_S * 2)
        self._client.start_async()

    def read(self) -> list[dict[str, Any]]:
        """The locks that are held, up to some."""
        if not self._client.connected:
            raise ConnectionError("no connection to ZooKeeper")
        asked = [(shard, self._client.get_children_async(f"{self._root}/{shard}")) for shard in SHARDS]
        paths = [f"{self._root}/{shard}/{name}" for shard, answer in asked for name in _names(answer)]
        return [held for path in paths[:KEPT] if (held := self._holder(path))]

    def _holder(self, path: str) -> dict[str, Any] | None:
        with contextlib.suppress(NoNodeError):
            data, stat = self._client.get_async(path).get(timeout=CALL_S)
            product = unquote(path.rpartition("/")[2].removeprefix("p"))
            return {"product": product, "process": data.decode(errors="replace"), "since": stat.ctime / 1_000}
        return None

    def close(self) -> None:
        """Close the session."""
        self._client.stop()
        self._client.close()


def _names(answer: Any) -> Iterator[str]:  # noqa: ANN401 - kazoo's
    with contextlib.suppress(NoNodeError):
        yield from answer.get(timeout=CALL_S)


class Tasks:
    """What Celery's events say: how many tasks ended how, and when."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self.outcomes: Counter[str] = Counter()
        self._ended: deque[float] = deque(maxlen=200_000)

    def follow(self) -> None:
        """Receive events, until the connection ends."""
        handlers = {"task-succeeded": self._succeeded, "task-retried": self._retried}
        with self._app.connection_for_read(connect_timeout=CALL_S) as connection:
            self._app.events.Receiver(connection, handlers=handlers).capture(limit=None, wakeup=False)

    def rate(self) -> float:
        """Tasks that came to an end, a second, of late."""
        since = time.time() - WINDOW_S
        return sum(ended >= since for ended in list(self._ended)) / WINDOW_S

    def _succeeded(self, event: dict[str, Any]) -> None:
        self.outcomes[str(event["result"]).strip("'")] += 1
        self._ended.append(time.time())

    def _retried(self, _: dict[str, Any]) -> None:
        self.outcomes["retried"] += 1

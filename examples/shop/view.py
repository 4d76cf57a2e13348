"""The page's view: the database's rows beside what Redis holds, and what all that is between them says of itself."""

import time
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import redis
from celery import Celery

from examples.names import Names
from examples.shop.catalog import Catalog
from examples.shop.crew import Crew
from examples.shop.sources import Held, Locks, Sampled, Tasks, Topic
from examples.shop.tables import Product
from servers import Addresses

CHART_S: Final = 60
SHOWN: Final = 100
REMEMBERED: Final = 300.0


class View:
    """What the page shows just now; ``close`` ends it. ``crew``: the processes that it may pause and kill."""

    def __init__(
        self,
        catalog: Catalog,
        addresses: Addresses,
        names: Names,
        app: Celery,
        crew: Crew,
        *,
        flower: str,
        may_wipe: bool,
    ) -> None:
        self._settings = {"flower": flower, "may_wipe": may_wipe}
        self._catalog = catalog
        self._crew = crew
        self._queue = names.queue
        self._held = Held(addresses.redis_url, names.key_prefix, own=may_wipe)
        self._topic = Topic(addresses.kafka, names.topic, names.letters, names.group)
        self._locks = Locks(addresses.zookeeper, names.root)
        self._tasks = Tasks(app)
        # Another broker than Redis is not asked how much is queued.
        is_redis = addresses.broker_url.startswith(("redis://", "rediss://"))
        self._broker = redis.Redis.from_url(addresses.broker_url, socket_timeout=2) if is_redis else None
        self._deleted: dict[int, float] = {}
        self._known: set[int] = set()
        self._chart: deque[dict[str, Any]] = deque(maxlen=CHART_S)
        self.rows = Sampled[list[Product]](self._read_rows, [], 0.1)
        self.redis = Sampled[dict[int, dict[str, Any]]](lambda: self._held.read(self._ids()), {}, 0.1)
        self.lag = Sampled(self._topic.lag, 0, 0.5)
        self.letters = Sampled[list[dict[str, Any]]](self._topic.last_letters, [], 0.5)
        self.locks = Sampled[list[dict[str, Any]]](self._locks.read, [], 0.5)
        self.queued = Sampled[int | None](self._read_queue, None, 0.25)
        self.following = Sampled(self._held.follow, None, 0.5)
        self.events = Sampled(self._tasks.follow, None, 0.5)
        self.charted = Sampled(self._draw, None, 1.0)

    def __call__(self) -> dict[str, Any]:
        """All of it, for msgspec to encode."""
        held = self.redis.value
        rows = [_row(product, held.get(product.id)) for product in self.rows.value]
        rows += [
            {"id": product_id, "db": None, "redis": held[product_id]}
            for product_id in list(self._deleted)
            if product_id in held
        ]
        return {
            **self._settings,
            "now": time.time(),
            "rows": sorted(rows, key=lambda row: row["id"]),
            "rate": self._tasks.rate(),
            "latency": self._held.latency(),
            "chart": list(self._chart),
            "lag": self.lag.value,
            "queued": self.queued.value,
            "outcomes": dict(self._tasks.outcomes),
            "letters": self.letters.value,
            "letters_total": self._topic.letters,
            "locks": self.locks.value,
            "processes": self._crew.states(),
            "trouble": self._trouble(),
        }

    def close(self) -> None:
        """Read no more."""
        sampled = (self.rows, self.redis, self.lag, self.letters, self.locks, self.queued)
        for one in (*sampled, self.following, self.events, self.charted):
            one.close()
        self._locks.close()

    def _trouble(self) -> Mapping[str, str]:
        parts = {
            "The database": self.rows.trouble,
            "Redis": self.redis.trouble,
            "Kafka": self.lag.trouble,
            "ZooKeeper": self.locks.trouble,
            "The Celery broker": self.queued.trouble,
        }
        return {name: trouble for name, trouble in parts.items() if trouble}

    def _read_rows(self) -> list[Product]:
        found = self._catalog.products(SHOWN)
        ids = {product.id for product in found}
        now = time.time()
        for product_id in self._known - ids:
            self._deleted[product_id] = now
        self._known = ids
        self._deleted = {one: at for one, at in self._deleted.items() if now - at < REMEMBERED}
        return found

    def _ids(self) -> list[int]:
        return [product.id for product in self.rows.value] + list(self._deleted)

    def _read_queue(self) -> int | None:
        if self._broker is None:
            return None
        length = self._broker.llen(self._queue)
        assert isinstance(length, int)
        return length

    def _draw(self) -> None:
        self._chart.append({"at": time.time(), **(self._held.latency() or {"p50": None, "p99": None})})


def _row(product: Product, held: dict[str, Any] | None) -> dict[str, Any]:
    row = {**product.data, "version": product.version, "updated_at": product.updated_at}
    return {"id": product.id, "db": row, "redis": held}

"""What the script left in Redis, fetched while it runs: Redis may forget it, and then another data set begins."""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, cast

import redis
from redis.exceptions import RedisClusterException, RedisError

from lastword.contract.version import Version
from tests.history.events import DataSet, Held, Written
from tests.history.recorder import history_key

INTERVAL_S: Final = 0.2
REST: Final = 9.0  # it takes a tenth of a core at most from what it records

DOWN: Final = (RedisError, RedisClusterException)  # the latter is no RedisError

Client = redis.Redis | redis.RedisCluster


class Harvest:
    """Fetches each product's writes again and again, in a thread of its own, and notices what Redis has forgotten.

    ``client``: the one of the cache's database, which may become another; ``products``: those written so far.
    """

    def __init__(self, client: Callable[[], Client], prefix: str, products: Callable[[], Iterable[str]]) -> None:
        self.changes_us: list[int] = []
        self.blind: list[tuple[int, int]] = []
        self._client = client
        self._prefix = prefix
        self._products = products
        self._lives: dict[str, list[list[str]]] = {}
        self._seen_us: dict[str, list[int]] = {}
        self._fetched_us = 0
        self._identity: frozenset[str] = frozenset()
        self._mutex = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="harvest", daemon=True)
        self._thread.start()

    def now(self, products: Collection[str] = ()) -> None:
        """Fetch what there is; call it before Redis is made to forget something. One of ``DOWN`` where it is."""
        with self._mutex:
            self._harvest({*self._products(), *products})

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Fetch nothing meanwhile."""
        with self._mutex:
            yield

    def lives(self) -> dict[str, list[DataSet]]:
        """All that was fetched, by product."""
        with self._mutex:
            return {
                product: [
                    DataSet([_written(entry) for entry in life], seen_us)
                    for life, seen_us in zip(lives, self._seen_us[product], strict=True)
                ]
                for product, lives in self._lives.items()
            }

    def close(self) -> None:
        """Stop, and drop the lists in Redis."""
        self._stopping.set()
        self._thread.join(120)
        with suppress(*DOWN):
            for product in self._lives:
                self._client().unlink(history_key(f"{self._prefix}{product}"))

    def _run(self) -> None:
        pause_s = INTERVAL_S
        while not self._stopping.wait(pause_s):
            begun = time.thread_time()
            with suppress(*DOWN):  # it is down, for now; the last harvest, after the run, must succeed
                self.now()
            pause_s = max(INTERVAL_S, REST * (time.thread_time() - begun))

    def _harvest(self, products: Collection[str]) -> None:
        begun_us = _now_us()
        self._notice_another()
        names = sorted(products)
        known = [self._lives.get(product, [[]])[-1] for product in names]
        # The last entry that is known is fetched again: one that is another now, or gone, tells of a loss.
        tails = self._fetch([(product, max(0, len(life) - 1)) for product, life in zip(names, known, strict=True)])
        lost = []
        for product, life, tail in zip(names, known, tails, strict=True):
            if not life and tail:
                self._begin(product, tail, since_us=0 if product not in self._lives else _now_us())
            elif life and tail[:1] == life[-1:]:
                life.extend(tail[1:])
            elif life:
                lost.append(product)
        for product, whole in zip(lost, self._fetch([(product, 0) for product in lost]), strict=True):
            self._begin(product, whole, since_us=_now_us())
            self._note_change()
        self._fetched_us = begun_us  # what was written before that is known for good

    def _begin(self, product: str, entries: list[str], *, since_us: int) -> None:
        lives = self._lives.setdefault(product, [])
        if lives and not lives[-1]:
            lives[-1] += entries
            return
        lives.append(entries)
        self._seen_us.setdefault(product, []).append(since_us)

    def _fetch(self, wanted: list[tuple[str, int]]) -> list[list[str]]:
        with self._client().pipeline(transaction=False) as pipeline:
            for product, start in wanted:
                pipeline.lrange(history_key(f"{self._prefix}{product}"), start, -1)
            return [[cast("bytes", entry).decode() for entry in entries] for entries in pipeline.execute()]

    def _notice_another(self) -> None:
        before, self._identity = self._identity, _identity(self._client())
        if before and before != self._identity:
            self._note_change()

    def _note_change(self) -> None:
        now_us = _now_us()
        if not self.changes_us or now_us - self.changes_us[-1] > 1_000:
            self.changes_us.append(now_us)
            self.blind.append((self._fetched_us, now_us))


def _identity(client: Client) -> frozenset[str]:
    if isinstance(client, redis.RedisCluster):
        infos: dict[str, dict[str, Any]] = client.info("server", target_nodes=redis.RedisCluster.PRIMARIES)
        return frozenset(str(info["run_id"]) for info in infos.values())
    return frozenset({str(client.info("server")["run_id"])})


def _written(entry: str) -> Written:
    version, token, _, outcome, held_version, held_token, held_deleted, at_us = entry.split("|")
    held = Held(Version.parse(held_version), bool(held_deleted), held_token)
    return Written(Version.parse(version), token, outcome, held, int(at_us))


def _now_us() -> int:
    return time.time_ns() // 1_000

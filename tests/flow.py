"""The whole flow for one test: a topic of its own, a bridge and workers as subprocesses, and what must be visible."""

import json
import logging
import os
import random
import re
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import redis
from confluent_kafka import Consumer, Message, TopicPartition

from lastword.kafka import coordinator
from lastword.publisher.publisher import Publisher
from servers import Reachable, ReachableRedis
from servers.process import Child
from tests.injected.constants import TIMEOUT_FLOOR_S, with_constants
from tests.rows import Rows
from tests.waiting import DEADLINE_S, wait_until
from tests.worker_helpers import REPOSITORY, worker_env

logger = logging.getLogger(__name__)

PARTITIONS = 4
SESSION_MS = "6000"
BEGIN_MS = 1_763_800_000_000
FIRST_LOOKED_AT = 20
NOWHERE = 2**62
TELLING = re.compile(" (WARNING|ERROR) |partitions (assigned|revoked|lost)")


class Flow:
    def __init__(
        self,
        servers: tuple[Reachable, ReachableRedis, Reachable],
        directory: Path,
        *,
        topic: str,
        group: str,
        root: str,
        prefix: str,
    ) -> None:
        kafka, cache, zookeeper = servers
        self.topic = topic
        self.group = group
        self.prefix = prefix
        self.directory = directory
        self.environment = worker_env(cache, zookeeper, root=root, key_prefix=prefix) | {
            "KAFKA_BOOTSTRAP_SERVERS": kafka.address,
            "LASTWORD_TOPIC": topic,
            "LASTWORD_CONSUMER_GROUP": group,
            "LASTWORD_CREATE_TOPICS": str(PARTITIONS),
            # The default: half of it has to do for a group that a busy machine lets wait.
            "LASTWORD_SESSION_TIMEOUT_S": "10",
            # A bridge that was killed must not keep its partitions for the default of 45 s.
            "LASTWORD_KAFKA_SESSION_TIMEOUT_MS": SESSION_MS,
        }
        self.environment |= with_constants(self.environment, {TIMEOUT_FLOOR_S: 1})
        self.cache = redis.Redis.from_url(cache.url())
        self.broker = redis.Redis.from_url(self.environment["CELERY_BROKER_URL"])
        properties = {"bootstrap.servers": kafka.address, "group.id": group, "enable.auto.commit": False}
        self.reader = Consumer(properties, logger=logger)
        self.rows: Rows | None = None
        self.newest: dict[str, tuple[int, int]] = {}
        self._behind: list[str] = []
        self.contents: dict[tuple[str, tuple[int, int]], bytes | None] = {}
        self.delivered: dict[int, list[tuple[int, str, tuple[int, int]]]] = {n: [] for n in range(PARTITIONS)}

    def by(self, protocol: str) -> None:
        """Let its bridges be members of their group by this protocol of Kafka."""
        self.environment["LASTWORD_KAFKA_GROUP_PROTOCOL"] = protocol
        session = self.environment.pop("LASTWORD_KAFKA_SESSION_TIMEOUT_MS", SESSION_MS)
        if protocol == "classic":  # else Kafka says how long a session lasts: servers/kafka.py
            self.environment["LASTWORD_KAFKA_SESSION_TIMEOUT_MS"] = session

    def close(self) -> None:
        self.reader.close()
        self.cache.close()
        self.broker.close()

    @contextmanager
    def bridge(self, wait_for: str = "partitions assigned", **settings: str) -> Iterator["Bridge"]:
        """A running bridge that has its partitions, or has said something else."""
        bridge = Bridge(self.directory, self.environment | settings)
        try:
            bridge.wait_for_log(wait_for)
            yield bridge
        except BaseException:
            sys.stderr.write(bridge.log[-6_000:])
            raise
        finally:
            bridge.stop()

    def bridges_said(self) -> str:
        """What its bridges have logged of partitions, and what they complained about."""
        logs = [log.read_text(encoding="utf-8").splitlines() for log in sorted(self.directory.glob("bridge-*.log"))]
        told = [line for lines in logs for line in lines if TELLING.search(line)]
        return "\n".join(told[-100:])

    def publish(self, count: int, products: int, *, seed: int = 7) -> None:
        """Publish shuffled, repeated changes and deletions, and remember which is the newest of each product."""
        chance = random.Random(seed)
        changes = [(f"p{chance.randrange(products)}", number) for number in range(count)]
        changes += chance.sample(changes, count // 20)
        chance.shuffle(changes)
        publisher = Publisher({"bootstrap.servers": self.environment["KAFKA_BOOTSTRAP_SERVERS"]}, self.topic)
        for product, number in changes:
            self.publish_one(publisher, product, number, deleted=number % 17 == 0)
        publisher.close(60)

    def publish_one(
        self, publisher: Publisher, product: str, number: int, *, deleted: bool = False, padding: str = ""
    ) -> None:
        """Publish a change; where there are ``rows`` it is in them before, and every other one is a mere notice."""
        record = {"product_id": product, "updated_at": BEGIN_MS + number // 3, "sequence": number}
        version = ((BEGIN_MS + number // 3) * 1_000, number)
        self.newest[product] = max(version, self.newest.get(product, version))
        data = {"number": number} | ({"padding": padding} if padding else {})
        if self.rows is not None and version == self.newest[product]:
            if deleted:
                self.rows.remove(product)
            else:
                self.rows.put(product, *version, data)
        if deleted:
            record["deleted"] = True
        elif self.rows is None or number % 2:
            record["data"] = data
        self.contents[product, version] = json.dumps(record["data"]).encode() if "data" in record else None
        publisher.publish_record(
            product.encode(),
            json.dumps(record).encode(),
            on_delivered=lambda m: self.delivered[m.partition() or 0].append((offset_of(m), product, version)),
        )

    def held(self, products: Iterable[str] | None = None) -> dict[str, tuple[int, int]]:
        """The versions in the cache, of these products or of all, read without the project's own code."""
        found = {}
        products = list(self.newest if products is None else products)
        with self.cache.pipeline(transaction=False) as pipeline:
            for product in products:
                pipeline.hget(f"{self.prefix}{product}", "version")
            versions = pipeline.execute(raise_on_error=False)
        for product, version in zip(products, versions, strict=True):
            if isinstance(version, bytes):
                at, _, sequence = version.decode().partition("-")
                found[product] = (int(at), int(sequence))
        return found

    def read_from(self, cache: redis.Redis | redis.RedisCluster) -> None:
        """Judge by this server from now on: the flow's cache has become another one."""
        self.cache.close()
        self.cache = cast("redis.Redis", cache)

    def harvest(self) -> None:
        """Fetch what Redis has recorded, before it is made to forget something: here nothing is recorded."""

    def is_fresh(self) -> bool:
        """Whether every product is at its newest; and no committed offset has passed an update that is not visible."""
        self.committed()
        # A look at thousands takes the machine from the flow: first at some that were behind the last time.
        self._behind = self._not_fresh(self._behind) or self._not_fresh(list(self.newest))
        return not self._behind

    def _not_fresh(self, products: list[str]) -> list[str]:
        """Some of those that are not at their newest."""
        held = self.held(products)
        return [product for product in products if held.get(product) != self.newest[product]][:FIRST_LOOKED_AT]

    def committed(self) -> dict[int, int]:
        """The committed offsets, after a check that everything before them is visible."""
        partitions = [TopicPartition(self.topic, number) for number in range(PARTITIONS)]
        committed = {p.partition: p.offset for p in coordinator.committed(self.reader, partitions, timeout_s=60)}
        held = self.held()  # after the offsets: what was visible when they were committed is visible now
        for number, offset in committed.items():
            for at, product, version in self.delivered[number]:
                passed = (number, offset, at, product, version)
                assert at >= offset or held.get(product, (0, 0)) >= version, f"BROKEN: a commit passes {passed}"
        return committed

    def wait_until_fresh(self, *, deadline_s: float = DEADLINE_S) -> None:
        wait_until(self.is_fresh, deadline_s=deadline_s, what="every product at its newest")

    def wait_until_all_is_committed(self, *, deadline_s: float = DEADLINE_S) -> None:
        ends = {
            number: self.reader.get_watermark_offsets(TopicPartition(self.topic, number), timeout=60)[1]
            for number in range(PARTITIONS)
        }
        ends = {number: end for number, end in ends.items() if end}
        wait_until(
            lambda: all(self.committed()[number] >= end for number, end in ends.items()),
            deadline_s=deadline_s,
            what=f"all committed: {ends}",
        )

    def wait_until_visible(self, share: float) -> None:
        """Return when about this share of the products is in the cache: in the middle of the run."""
        wait_until(lambda: len(self.held()) >= share * len(self.newest), what=f"{share:.0%} of the products")
        assert self.held() != self.newest, "the run was over before its middle: publish more"


def offset_of(message: Message) -> int:
    """Where Kafka has put it. Of what it had already, whose first answer was lost, it says no place: behind all."""
    offset = message.offset()
    return NOWHERE if offset is None else offset


class Bridge:
    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self.log_file = directory / f"bridge-{random.randrange(10**9)}.log"
        self._child = Child(
            [sys.executable, "-m", "bridge"],
            directory=REPOSITORY,
            log_file=self.log_file,
            environment={**os.environ, **environment},
        )

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8")

    @property
    def exit_code(self) -> int | None:
        return self._child.exit_code

    def wait_for_log(self, text: str, *, deadline_s: float = DEADLINE_S) -> None:
        def found() -> bool:
            ended = self.exit_code is not None
            if text in self.log:
                return True
            assert not ended, f"the bridge ended with exit code {self.exit_code} before it said {text!r}"
            return False

        wait_until(found, deadline_s=deadline_s, what=f"{text!r} in the bridge's log")

    def send(self, number: signal.Signals) -> None:
        self._child.send(number)

    def stop(self) -> int | None:
        self._child.stop(DEADLINE_S)
        return self.exit_code

    def kill(self) -> None:
        self._child.kill()

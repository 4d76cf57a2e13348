"""What a run calls its own, so that it gets along with others on the same servers and leaves nothing behind."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, cast

import redis
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError
from kazoo.interfaces import IAsyncResult
from kombu import Connection, Exchange, Queue

from lastword.cache.flow_note import note_key
from lastword.kafka.coordinator import ask, is_away
from servers import Addresses
from servers.kafka import silent

ROOT = Path(__file__).parents[1]
BULK = 1_000
CALL_TIMEOUT_S = 30
LEFT_TO_KAFKA: Final = frozenset({KafkaError.GROUP_ID_NOT_FOUND, KafkaError.NON_EMPTY_GROUP})


@dataclass(frozen=True)
class Names:
    """The names of one run; by default those of a first start, as in the README."""

    topic: str = "product-updates"
    group: str = "lastword"
    root: str = "/lastword"
    key_prefix: str = "product:"
    queue: str = "lastword"

    @classmethod
    def fresh(cls, word: str) -> Self:
        """Names that begin with ``word`` and that no other run has."""
        name = f"{word}-{secrets.token_hex(4)}"
        return cls(topic=name, group=name, root=f"/{name}", key_prefix=f"{name}:", queue=name)

    @property
    def letters(self) -> str:
        """The dead-letter topic."""
        return f"{self.topic}-dlt"

    @property
    def worker(self) -> str:
        """The worker's node name."""
        return f"{self.queue}@localhost"

    @property
    def environment(self) -> dict[str, str]:
        """The names as settings."""
        return {
            "LASTWORD_TOPIC": self.topic,
            "LASTWORD_DEAD_LETTER_TOPIC": self.letters,
            "LASTWORD_CONSUMER_GROUP": self.group,
            "LASTWORD_ZOOKEEPER_ROOT": self.root,
            "LASTWORD_KEY_PREFIX": self.key_prefix,
        }


def write_celery_settings(directory: Path, **settings: Any) -> None:  # noqa: ANN401 - Celery's settings are of any type
    """Make the repository's Celery settings, with these in their place, the ones of commands run in ``directory``."""
    lines = [
        "import runpy",
        f"_ours = runpy.run_path({str(ROOT / 'celeryconfig.py')!r})",
        "globals().update({name: value for name, value in _ours.items() if not name.startswith('_')})",
        *(f"{name} = {value!r}" for name, value in settings.items()),
    ]
    (directory / "celeryconfig.py").write_text("\n".join(lines) + "\n", encoding="utf-8")


def remove(names: Names, addresses: Addresses) -> None:
    """Remove what a run with these names has left on the servers, once all its processes have ended."""
    _remove_from_kafka(names, addresses.kafka)
    _remove_znodes(names.root, addresses.zookeeper)
    with redis.Redis.from_url(addresses.redis_url) as cache:
        keys = list(cache.scan_iter(f"{names.key_prefix}*", count=BULK))
        keys += cache.scan_iter(f"lastword:marker:*{names.key_prefix}", count=BULK)
        keys.append(note_key(names.key_prefix).encode())
        for first in range(0, len(keys), BULK):
            cache.unlink(*keys[first : first + BULK])
    _remove_queue(names.queue, addresses.broker_url)


def _remove_queue(name: str, broker_url: str) -> None:
    """Remove a Celery queue with whatever is in it."""
    with Connection(broker_url) as broker:
        queue = Queue(name, Exchange(name, type="direct"), routing_key=name)(broker.default_channel)
        queue.declare()  # kombu forgets only the bindings that it knows
        queue.delete()


@contextmanager
def open_zookeeper(hosts: str) -> Iterator[KazooClient]:
    """A client of ZooKeeper, closed in the end."""
    client = KazooClient(hosts)
    client.start()
    try:
        yield client
    finally:
        client.stop()
        client.close()


def _remove_znodes(root: str, hosts: str) -> None:
    with open_zookeeper(hosts) as zookeeper:
        found, level = [], [root]
        while level:
            found += level
            asked = [(path, zookeeper.get_children_async(path)) for path in level]
            level = [f"{path}/{name}" for path, answer in asked for name in _children(answer)]
        for answer in [zookeeper.delete_async(path) for path in reversed(found)]:
            with suppress(NoNodeError):
                answer.get(CALL_TIMEOUT_S)


def _children(answer: IAsyncResult) -> list[str]:
    try:
        return cast("list[str]", answer.get(CALL_TIMEOUT_S))
    except NoNodeError:
        return []


def _remove_from_kafka(names: Names, servers: str) -> None:
    admin = AdminClient({"bootstrap.servers": servers}, logger=silent)
    there = admin.list_topics(timeout=CALL_TIMEOUT_S).topics
    topics = [topic for topic in (names.topic, names.letters) if topic in there]
    deleted: Mapping[str, Any] = admin.delete_topics(topics) if topics else {}
    for topic in deleted.values():
        topic.result(CALL_TIMEOUT_S)
    remove_group(admin, names.group)


def remove_group(admin: AdminClient, group: str, *, away_max_s: float = CALL_TIMEOUT_S) -> None:
    """Remove a consumer group, or let it be: one with a killed member is forgotten by Kafka itself, days later."""

    def remove() -> None:
        deleted: Mapping[str, Any] = admin.delete_consumer_groups([group])
        # While there is no coordinator at all, the client itself asks for one for a minute.
        with suppress(TimeoutError):
            deleted[group].result(CALL_TIMEOUT_S)

    try:
        ask(remove, away_max_s=away_max_s)
    except KafkaException as error:
        if error.args[0].code() not in LEFT_TO_KAFKA and not is_away(error):
            raise

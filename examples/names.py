"""What a run calls its own, so that it gets along with others on the same servers and leaves nothing behind."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import redis
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from kazoo.client import KazooClient
from kombu import Connection, Exchange, Queue

from servers import Addresses

ROOT = Path(__file__).parents[1]
SCAN = 1_000


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
    zookeeper = KazooClient(addresses.zookeeper)
    zookeeper.start()
    try:
        if zookeeper.exists(names.root):
            zookeeper.delete(names.root, recursive=True)
    finally:
        zookeeper.stop()
        zookeeper.close()
    with redis.Redis.from_url(addresses.redis_url) as cache:
        for key in cache.scan_iter(f"{names.key_prefix}*", count=SCAN):
            cache.unlink(key)
    with Connection(addresses.broker_url) as broker:
        queue = Queue(names.queue, Exchange(names.queue, type="direct"), routing_key=names.queue)
        bound = queue(broker.default_channel)
        bound.declare()  # kombu forgets only the bindings that it knows
        bound.delete()


def _remove_from_kafka(names: Names, servers: str) -> None:
    admin = AdminClient({"bootstrap.servers": servers})
    there = admin.list_topics(timeout=10).topics
    topics = [topic for topic in (names.topic, names.letters) if topic in there]
    futures: Mapping[str, Any] = admin.delete_topics(topics) if topics else {}
    groups: Mapping[str, Any] = admin.delete_consumer_groups([names.group])
    for future in [*futures.values(), *groups.values()]:
        try:
            future.result(10)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                raise

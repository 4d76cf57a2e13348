"""ZooKeeper without the project's own session in between."""

import contextlib
from collections.abc import Iterator

from kazoo.client import KazooClient


@contextlib.contextmanager
def zookeeper_client(hosts: str, **settings: float) -> Iterator[KazooClient]:
    client = KazooClient(hosts, **settings)
    client.start(timeout=60)
    try:
        yield client
    finally:
        client.stop()
        client.close()

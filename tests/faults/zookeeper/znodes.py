"""What is in ZooKeeper under a flow's root, read past the code under test."""

from collections.abc import Iterator
from contextlib import contextmanager

from kazoo.client import KazooClient
from kazoo.protocol.states import ZnodeStat

from tasks.lock.grant import Grant
from tests.flow import Flow
from tests.lock_helpers import acquire_when_possible, direct_client, lock_count, lock_stat, open_locks
from tests.waiting import DEADLINE_S, wait_until


class Znodes:
    """The locks and guards under ``root``."""

    def __init__(self, client: KazooClient, root: str) -> None:
        self.client = client
        self._root = root

    def lock(self, product: str) -> ZnodeStat | None:
        return lock_stat(self.client, self._root, product)

    def owner(self, product: str) -> int | None:
        """The id of the session that holds the product's lock."""
        stat = self.lock(product)
        return None if stat is None else int(stat.ephemeralOwner)

    def locks(self) -> int:
        return lock_count(self.client, self._root)

    def guards(self) -> list[str]:
        """One for each session."""
        return [f"{self._root}/guards/{name}" for name in self.client.get_children(f"{self._root}/guards")]

    def wait_until_gone(self, guard: str, *, deadline_s: float = DEADLINE_S) -> None:
        """Return when the session of this guard is over."""
        wait_until(lambda: self.client.exists(guard) is None, deadline_s=deadline_s, what=f"the end of {guard}")


@contextmanager
def znodes_of(flow: Flow) -> Iterator[Znodes]:
    with direct_client(flow.environment["ZOOKEEPER_HOSTS"]) as client:
        yield Znodes(client, flow.environment["LASTWORD_ZOOKEEPER_ROOT"])


@contextmanager
def locked_elsewhere(flow: Flow, *products: str) -> Iterator[Grant]:
    """Somebody who is no worker holds the locks of these products."""
    root = flow.environment["LASTWORD_ZOOKEEPER_ROOT"]
    with (
        open_locks(flow.environment["ZOOKEEPER_HOSTS"], root) as locks,
        acquire_when_possible(locks, *products) as grant,
    ):
        yield grant

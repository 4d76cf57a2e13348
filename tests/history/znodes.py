"""What is in ZooKeeper under a root, and what of that should not be there."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError

from tasks.lock.path import SHARDS

CALL_TIMEOUT_S: Final = 10.0


class Znodes(NamedTuple):
    """How many there are under a root, and those that may go away by themselves, or should not be there."""

    total: int
    ephemeral: list[str]
    foreign: list[str]


def look(client: KazooClient, root: str) -> Znodes:
    """All znodes under ``root``: locks and guards are ``ephemeral``; beside the fixed ones, the others ``foreign``."""
    fixed = {f"{root}/guards", f"{root}/locks", *(f"{root}/locks/{shard}" for shard in SHARDS)}
    everything: list[str] = []
    level = [root]
    while level:
        level = _children(client, level)
        everything += level
    others = set(everything) - fixed
    ephemeral = {path for path in others if path.rpartition("/")[0] in fixed - {f"{root}/locks"}}
    return Znodes(len(everything), sorted(ephemeral), sorted(others - ephemeral))


def _children(client: KazooClient, paths: Sequence[str]) -> list[str]:
    replies = [(path, client.get_children_async(path)) for path in paths]
    found = []
    for path, reply in replies:
        try:
            found += [f"{path}/{name}" for name in reply.get(timeout=CALL_TIMEOUT_S)]
        except NoNodeError:
            continue  # no worker has been here, or it was ephemeral
    return found

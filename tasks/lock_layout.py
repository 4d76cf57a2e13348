"""The znodes that are never deleted: the root, ``guards``, ``locks`` and its 256 shards. Nothing else is persistent."""

import contextlib
import time
from collections.abc import Iterator

from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError, NoNodeError
from kazoo.interfaces import IAsyncResult

from tasks.lock_path import SHARDS


def make_layout(client: KazooClient, root: str, until: float) -> None:
    """Create what is missing, by ``until`` (monotonic); one round trip when all is there. Others may be doing the same.

    Raises kazoo's NoNodeError when the chroot of the client does not exist, and its other errors as they come.
    """
    locks, guards = f"{root}/locks", f"{root}/guards"
    children, stat = client.get_children_async(locks), client.exists_async(guards)
    try:
        missing = set(SHARDS).difference(children.get(timeout=left(until)))
    except NoNodeError:
        missing = set(SHARDS)
    if not missing and stat.get(timeout=left(until)) is not None:
        return
    for path in [*_ancestors(root), guards, locks]:
        _created(client.create_async(path), until)
    for reply in [client.create_async(f"{locks}/{shard}") for shard in sorted(missing)]:
        _created(reply, until)


def left(until: float) -> float:
    """The seconds from now to ``until`` (monotonic), zero when it has passed."""
    return max(0.0, until - time.monotonic())


def _ancestors(path: str) -> Iterator[str]:
    names = path.strip("/").split("/")
    return ("/" + "/".join(names[: count + 1]) for count in range(len(names)))


def _created(reply: IAsyncResult, until: float) -> None:
    with contextlib.suppress(NodeExistsError):
        reply.get(timeout=left(until))

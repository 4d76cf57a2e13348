"""The znodes that are never deleted: the root, ``guards``, ``locks`` and its 256 shards. Nothing else is persistent."""

import contextlib
import time
from collections.abc import Iterator

from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError, NodeExistsError, NoNodeError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.interfaces import IAsyncResult
from kazoo.security import Permissions

from tasks.lock.path import SHARDS


def make_layout(client: KazooClient, root: str, until: float) -> None:
    """Create what is missing, by ``until`` (monotonic); one round trip when all is there. Others may be doing the same.

    Raises kazoo's NoNodeError when the chroot of the client does not exist, NoAuthError with the path of a znode that
    is refused, and its other errors as they come.
    """
    locks, guards = f"{root}/locks", f"{root}/guards"
    children, stat = client.get_children_async(locks), client.exists_async(guards)
    try:
        with permitted(locks):
            missing = set(SHARDS).difference(children.get(timeout=remaining_s(until)))
    except NoNodeError:
        missing = set(SHARDS)
    with permitted(guards):
        if stat.get(timeout=remaining_s(until)) is not None and not missing:
            return
    for path in [*_ancestors(root), guards, locks]:
        _created(path, client.create_async(path), until)
    shards = [f"{locks}/{shard}" for shard in sorted(missing)]
    for path, reply in [(shard, client.create_async(shard)) for shard in shards]:
        _created(path, reply, until)


def open_to_everybody(client: KazooClient, root: str, until: float) -> list[str]:
    """Those of the fixed znodes whose children anybody may create or delete, or whose ACL anybody may change."""
    paths = [f"{root}/guards", f"{root}/locks", *(f"{root}/locks/{shard}" for shard in SHARDS)]
    open_paths = []
    for path, reply in [(path, client.get_acls_async(path)) for path in paths]:
        try:
            acls, _ = reply.get(timeout=remaining_s(until))
        except (NoAuthError, KazooTimeoutError):  # a permission that no lock needs, or no time: then nobody is warned
            continue
        if any(acl.id.scheme == "world" and acl.perms & ~Permissions.READ for acl in acls):
            open_paths.append(path)
    return open_paths


@contextlib.contextmanager
def permitted(path: str) -> Iterator[None]:
    """Add to kazoo's NoAuthError, which has nothing to say, the path that was refused."""
    try:
        yield
    except NoAuthError as error:
        raise NoAuthError(path) from error


def remaining_s(until: float) -> float:
    """The seconds from now to ``until`` (monotonic), zero when it has passed."""
    return max(0.0, until - time.monotonic())


def _ancestors(path: str) -> Iterator[str]:
    names = path.strip("/").split("/")
    return ("/" + "/".join(names[: count + 1]) for count in range(len(names)))


def _created(path: str, reply: IAsyncResult, until: float) -> None:
    with contextlib.suppress(NodeExistsError), permitted(path):
        reply.get(timeout=remaining_s(until))

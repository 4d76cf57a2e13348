"""The two multis of the locks, as requests for kazoo's connection: its own cost more than all else that a lock costs.

Source: ZooKeeper's jute format as in kazoo/protocol/serialization.py; docs/decisions/0013-multis-of-our-own.md
"""

import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final

from kazoo.client import KazooClient
from kazoo.exceptions import EXCEPTIONS
from kazoo.interfaces import IAsyncResult
from kazoo.protocol.states import ZnodeStat
from kazoo.security import OPEN_ACL_UNSAFE

from lastword.settings.stock import is_stock

_CREATE, _DELETE, _SET_DATA, _CHECK, _ERROR = 1, 2, 5, 13, -1
_ANY_VERSION: Final = struct.pack("!i", -1)
_EPHEMERAL: Final = struct.pack("!i", 1)
_END: Final = struct.pack("!iBi", -1, 1, -1)

_header = struct.Struct("!iBi")  # of an operation: its type, whether it is the last, an error
_stat = struct.Struct("!qqqqiiiqiiq")
_length = struct.Struct("!i").pack
_error_code = struct.Struct("!i").unpack_from


class Multi:
    """A multi as kazoo sends it and reads its reply: all of it is done, or nothing."""

    type = 14

    def __init__(self, *parts: bytes) -> None:
        self._parts = parts

    def serialize(self) -> bytes:
        """The operations, as they follow the request's header."""
        return b"".join((*self._parts, _END))

    def deserialize(self, reply: bytes, offset: int) -> Sequence[ZnodeStat | Exception]:
        """The new stat of the znode that was set, if one was; of a multi that failed an error for each operation."""
        kind, done, _ = _header.unpack_from(reply, offset)
        if kind == _ERROR and not done:
            return list(_errors(reply, offset))
        return [ZnodeStat._make(_stat.unpack_from(reply, offset + _header.size))] if kind == _SET_DATA else []


def create_locks(client: KazooClient, guard: str, holder: bytes, paths: Sequence[str]) -> IAsyncResult:
    """Ask for the locks at these paths, all or none, if the guard is there; the reply has the guard's new stat."""
    if is_stock():
        transaction = client.transaction()
        transaction.set_data(guard, holder)
        for path in paths:
            transaction.create(path, holder, ephemeral=True)
        return transaction.commit_async()
    rest = _buffer(holder) + _acl(client.default_acl or OPEN_ACL_UNSAFE) + _EPHEMERAL
    return _send(
        client,
        Multi(
            _operation(_SET_DATA) + _path(client, guard) + _buffer(holder) + _ANY_VERSION,
            *(_operation(_CREATE) + _path(client, path) + rest for path in paths),
        ),
    )


def delete_locks(client: KazooClient, guard: str, paths: Sequence[str]) -> IAsyncResult:
    """Ask for the locks at these paths to be deleted, all or none, if the guard is there."""
    if is_stock():
        transaction = client.transaction()
        transaction.check(guard, -1)
        for path in paths:
            transaction.delete(path)
        return transaction.commit_async()
    return _send(
        client,
        Multi(
            _operation(_CHECK) + _path(client, guard) + _ANY_VERSION,
            *(_operation(_DELETE) + _path(client, path) + _ANY_VERSION for path in paths),
        ),
    )


def _send(client: KazooClient, multi: Multi) -> IAsyncResult:
    reply = client.handler.async_result()
    client._call(multi, reply)  # noqa: SLF001 - as all of kazoo's own requests are sent
    return reply


def _errors(reply: bytes, offset: int) -> Iterator[Exception]:
    while True:
        kind, done, _ = _header.unpack_from(reply, offset)
        if done or kind != _ERROR:
            return
        yield EXCEPTIONS[_error_code(reply, offset + _header.size)[0]]()
        offset += _header.size + 4


_OPERATIONS: Final = {kind: _header.pack(kind, 0, -1) for kind in (_CREATE, _DELETE, _SET_DATA, _CHECK)}
_operation = _OPERATIONS.__getitem__


def _path(client: KazooClient, path: str) -> bytes:
    return _buffer(f"{client.chroot}{path}".encode())


def _buffer(raw: bytes) -> bytes:
    return _length(len(raw)) + raw


def _acl(acl: Any) -> bytes:  # noqa: ANN401 - kazoo's
    entries = (
        _length(entry.perms) + _buffer(entry.id.scheme.encode()) + _buffer(entry.id.id.encode()) for entry in acl
    )
    return _length(len(acl)) + b"".join(entries)

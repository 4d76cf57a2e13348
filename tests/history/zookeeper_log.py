"""ZooKeeper's own transaction log, read from the servers' data directories while they run.

A file is the header ``ZKLG``, version and database id, then for each transaction an Adler-32 checksum, its length, its
bytes and a ``B``; zeros follow. Only what creates and deletes znodes and ends sessions is read beyond its header.

Source: https://github.com/apache/zookeeper/blob/release-3.9.5/zookeeper-jute/src/main/resources/zookeeper.jute and
``FileTxnLog`` and ``TxnLogToolkit`` there.
"""

import mmap
import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

from tests.history.events import End, Interval

_FILE_HEADER: Final = struct.Struct(">4siq")
_ENTRY_HEADER: Final = struct.Struct(">qi")
_TXN_HEADER: Final = struct.Struct(">qiqqi")

_CREATE: Final = {1, 15, 19, 21}  # create, create2, createContainer, createTTL: the path comes first in each
_DELETE: Final = {2, 20}
_MULTI: Final = 14
_ERROR: Final = -1
_CLOSE: Final = -11

_COUNTER: Final = 0xFFFF_FFFF


class LogError(Exception):
    """The file is not what a transaction log is."""


class Operation(NamedTuple):
    """One change of a transaction; of a multi there are several with one zxid, of most others none."""

    kind: str
    path: str


class Transaction(NamedTuple):
    """``session`` asked for it; ``at_ms`` is the server's clock."""

    zxid: int
    session: int
    at_ms: int
    operations: Sequence[Operation]


def read_log(directories: Iterable[Path]) -> list[Transaction]:
    """All committed transactions in the data directories of one server, or of all members of an ensemble, in order.

    Committed is what more than half of the members have logged: a leader that is cut off logs what it proposes to
    nobody, and keeps it until it has rejoined. Source:
    https://zookeeper.apache.org/doc/r3.9.5/zookeeperInternals.html#sc_activeMessaging. LogError for what is no log.
    """
    found: dict[int, Transaction] = {}
    logged: Counter[int] = Counter()
    members = list(directories)
    for directory in members:
        own = {transaction.zxid: transaction for file in _files(directory) for transaction in _read_file(file)}
        for zxid, transaction in own.items():
            if found.setdefault(zxid, transaction) != transaction:
                raise LogError(f"two members disagree about zxid {zxid:#x}, one of them in {directory}")
        logged.update(own.keys())
    return [found[zxid] for zxid in sorted(found) if logged[zxid] > len(members) // 2]


def gaps(transactions: Sequence[Transaction]) -> list[str]:
    """Where transactions are missing: a zxid's lower half counts by one, and begins anew under another leader."""
    return [
        f"between zxid {before.zxid:#x} and {after.zxid:#x}"
        for before, after in pairwise(transactions)
        if after.zxid != before.zxid + 1 and (after.zxid & _COUNTER > 1 or after.zxid >> 32 == before.zxid >> 32)
    ]


def lock_intervals(transactions: Iterable[Transaction], root: str) -> list[Interval]:
    """Every holding of every lock under ``root``, in the order of their beginnings."""
    intervals: list[Interval] = []
    standing: dict[str, Interval] = {}
    for zxid, session, _, operations in transactions:
        for kind, path in operations:
            if kind == "create" and _is_lock(path, root):
                standing[path] = Interval(path, session, zxid)
                intervals.append(standing[path])
            elif kind == "delete" and (interval := standing.pop(path, None)):
                if interval.session == session:
                    interval.end, interval.how = zxid, End.RELEASED
                else:
                    interval.taken_by = (session, zxid)
            elif kind == "close":
                for interval in intervals:
                    if interval.session == session and interval.end is None:
                        interval.end, interval.how = zxid, End.SESSION_CLOSED
                standing = {path: interval for path, interval in standing.items() if interval.end is None}
    return intervals


def _is_lock(path: str, root: str) -> bool:
    return path.startswith(f"{root}/locks/") and path.count("/") == root.count("/") + 3


def _files(directory: Path) -> list[Path]:
    return sorted(directory.glob("version-2/log.*"))


def _read_file(file: Path) -> Iterator[Transaction]:
    if file.stat().st_size < _FILE_HEADER.size:
        return  # made, and not yet written
    # Most of its 64 MiB are zeros, which nobody need read.
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        magic, version, _ = _FILE_HEADER.unpack_from(data)
        if (magic, version) != (b"ZKLG", 2):
            raise LogError(f"{file} is no transaction log: it begins with {data[:16]!r}")
        at = _FILE_HEADER.size
        while at + _ENTRY_HEADER.size <= len(data):
            checksum, length = _ENTRY_HEADER.unpack_from(data, at)
            at += _ENTRY_HEADER.size
            entry = data[at : at + length]
            if length == 0 or data[at + length : at + length + 1] != b"B":
                return  # the zeros behind the last transaction, or one that is being written
            if zlib.adler32(entry) != checksum:
                raise LogError(f"{file}: the checksum at byte {at} is wrong")
            at += length + 1
            yield _transaction(entry)


def _transaction(entry: bytes) -> Transaction:
    session, _, zxid, at_ms, kind = _TXN_HEADER.unpack_from(entry)
    return Transaction(zxid, session, at_ms, tuple(_operations(kind, entry[_TXN_HEADER.size :])))


def _operations(kind: int, body: bytes) -> Iterator[Operation]:
    if kind in _CREATE:
        yield Operation("create", _text(body))
    elif kind in _DELETE:
        yield Operation("delete", _text(body))
    elif kind == _CLOSE:
        yield Operation("close", "")
    elif kind == _MULTI:
        parts = list(_parts(body))
        # All or nothing: what came before the operation that failed is logged as if it had been done.
        if all(part != _ERROR for part, _ in parts):
            for part, content in parts:
                yield from _operations(part, content)


def _parts(body: bytes) -> Iterator[tuple[int, bytes]]:
    """The operations of a multi: the type of each, and its bytes."""
    (count,) = struct.unpack_from(">i", body)
    at = 4
    for _ in range(count):
        part, length = struct.unpack_from(">ii", body, at)
        yield part, body[at + 8 : at + 8 + length]
        at += 8 + length


def _text(body: bytes) -> str:
    (length,) = struct.unpack_from(">i", body)
    return body[4 : 4 + length].decode()

"""A small database and what Debezium, Maxwell and Canal write of it. Pure; every clock in it may be wrong."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from lastword.formats.debezium.placeholders import DEFAULT
from lastword.formats.record import Record

PARTITIONS: Final = 3
EPOCH_MS: Final = 1_763_800_000_000

Key = tuple[int, int]
Columns = dict[str, Any]


@dataclass(frozen=True)
class Logged:
    """One change as the log has it: where it stands, in which transaction, and the row before and after."""

    lsn: int
    before: Columns | None
    after: Columns | None
    unsent: tuple[str, ...] = ()
    former: Columns | None = None
    """The row whose key it had before; then the one before it in the stream takes that one away."""
    leaves: bool = False


@dataclass
class Transaction:
    changes: list[Logged] = field(default_factory=list)
    rows: dict[Key, Columns | None] = field(default_factory=dict)


@dataclass
class Event:
    """What a source's stream carries: a change or a row that was read, with the last commit before it."""

    key: Key
    change: Logged
    committed: int | None
    is_read: bool = False
    repeated: int = 0


class Database:
    """Two transactions may be open; a row that one of them has changed is locked for the other."""

    def __init__(self, rows: dict[Key, Columns]) -> None:
        self.rows = rows
        self.stream: list[Event] = []
        self._open = (Transaction(), Transaction())
        self._lsn = 1_000
        self._committed: int | None = None

    def row(self, key: Key, slot: int) -> Columns | None:
        """The row as a transaction sees it."""
        mine = self._open[slot].rows
        return mine[key] if key in mine else self.rows.get(key)

    def is_locked(self, key: Key, slot: int) -> bool:
        return key in self._open[1 - slot].rows

    def rekey(self, slot: int, old: Key, new: Key) -> None:
        row = self.row(old, slot)
        if row is None or self.row(new, slot) is not None or self.is_locked(new, slot) or self.is_locked(old, slot):
            return
        self.change(slot, old, None, leaves=True)
        self.change(slot, new, row | {"tenant": new[0], "id": new[1]}, former=row)

    def change(
        self,
        slot: int,
        key: Key,
        after: Columns | None,
        unsent: tuple[str, ...] = (),
        *,
        former: Columns | None = None,
        leaves: bool = False,
    ) -> None:
        before = self.row(key, slot)
        if self.is_locked(key, slot) or (before is None and after is None):
            return
        self._lsn += 8
        self._open[slot].changes.append(Logged(self._lsn, before, after, unsent if before else (), former, leaves))
        self._open[slot].rows[key] = after

    def commit(self, slot: int) -> None:
        transaction = self._open[slot]
        for one in transaction.changes:
            self.stream.append(Event(key_of(one.after or one.before or {}), one, self._committed))
        for key, row in transaction.rows.items():
            self.rows.pop(key, None)
            if row is not None:
                self.rows[key] = row
        transaction.changes, transaction.rows = [], {}
        self._lsn += 8
        self._committed = self._lsn

    def read(self, *, incremental: bool) -> None:
        """A snapshot reads what is committed, while transactions are open; an incremental one tells no lsn."""
        if incremental:  # its watermark is a commit of its own
            self._lsn += 8
            self._committed = self._lsn
        elif self.stream or any(transaction.rows for transaction in self._open):
            return  # the first snapshot waits for what is open, and is taken before anything is streamed
        # A first snapshot bears the place of what is logged next.
        lsn = self._lsn if incremental else self._lsn + 8
        for key, row in sorted(self.rows.items()):
            self.stream.append(Event(key, Logged(lsn, None, row), self._committed, is_read=True))

    def restart(self, back: int) -> None:
        """The connector writes its last events again, in their order."""
        if back:
            self.stream += [Event(e.key, e.change, e.committed, e.is_read, e.repeated + 1) for e in self.stream[-back:]]


def key_of(row: Columns) -> Key:
    return row["tenant"], row["id"]


def debezium(event: Event, clock_ms: int, connector: str) -> Iterator[tuple[Columns, Columns | None]]:
    """The key and the value of each record of an event."""
    change = event.change
    numbers = [None if event.committed is None else str(event.committed), str(change.lsn)]
    lsn: int | None = change.lsn
    if event.is_read and event.committed is not None:
        numbers, lsn = [numbers[0], numbers[0]], None
    source = {"connector": connector, "ts_ms": clock_ms, "lsn": lsn, "sequence": json.dumps(numbers)}
    if connector != "postgresql":
        source = {"connector": connector, "ts_ms": clock_ms, "file": "binlog.000001", "pos": change.lsn}
    key = {"tenant": event.key[0], "id": event.key[1]}
    op = "r" if event.is_read else "d" if change.after is None else "u" if change.before else "c"
    after = None if change.after is None else change.after | dict.fromkeys(change.unsent, DEFAULT)
    before = change.before if connector != "postgresql" or op == "d" else None
    yield key, {"op": op, "before": before, "after": after, "source": source, "ts_ms": clock_ms}
    if op == "d":
        yield key, None


def maxwell(event: Event, clock_ms: int, _: str) -> Iterator[tuple[Columns, Columns | None]]:
    change = event.change
    kind = "bootstrap-insert" if event.is_read else "delete" if change.after is None else "update"
    kind = "insert" if kind == "update" and change.before is None else kind
    row = change.after or change.before or {}
    row = {name: value for name, value in row.items() if name not in change.unsent}
    old = {}
    if change.former is not None:
        kind = "update"
        old = {name: value for name, value in change.former.items() if value != row[name]}
    if not change.leaves:
        yield {"pk.id": event.key[1]}, {"type": kind, "ts": clock_ms // 1_000, "data": row, "old": old}


def canal(event: Event, clock_ms: int, _: str) -> Iterator[tuple[Columns, Columns | None]]:
    change = event.change
    kind = "DELETE" if change.after is None else "UPDATE" if change.before else "INSERT"
    row = change.after or change.before or {}
    row = {name: str(value) for name, value in row.items() if name not in change.unsent}
    old = None
    if change.former is not None:
        kind = "UPDATE"
        old = [{name: str(value) for name, value in change.former.items() if str(value) != row[name]}]
    message = {"type": kind, "isDdl": False, "es": clock_ms, "data": [row], "old": old, "pkNames": ["tenant", "id"]}
    if not change.leaves:
        yield {}, message


WRITERS: Final = {"debezium": debezium, "maxwell": maxwell, "canal": canal}


def topic(
    stream: list[Event], clocks_ms: list[int], source: str, connector: str, count: int = PARTITIONS
) -> list[list[Record]]:
    """The records of each partition, in their order."""
    partitions: list[list[Record]] = [[] for _ in range(count)]
    for number, event in enumerate(stream):
        partition = partitions[sum(event.key) % count]
        for key, value in WRITERS[source](event, EPOCH_MS + clocks_ms[number % len(clocks_ms)], connector):
            value_bytes = None if value is None else json.dumps(value).encode()
            partition.append(Record(json.dumps(key).encode(), value_bytes, [], len(partition), EPOCH_MS))
    return partitions

"""Whatever a database does, and whatever its source's clocks say: the last words are the rows, or a letter says why."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from lastword.contract.record import InvalidUpdateError, Rules, Update
from lastword.formats.decoding import decode
from tests.property.source_model import PARTITIONS, Database, Key, key_of, topic

KEYS = st.sampled_from([(1, 1), (1, 2), (2, 1)])
SLOTS = st.integers(0, 1)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), SLOTS, KEYS, st.integers(0, 9), st.sampled_from([False])),
        st.tuples(st.just("write"), SLOTS, KEYS, st.integers(0, 9), st.sampled_from([False, False, True])),
        st.tuples(st.just("delete"), SLOTS, KEYS),
        st.tuples(st.just("rekey"), SLOTS, KEYS, KEYS),
        st.tuples(st.just("commit"), SLOTS),
        st.tuples(st.just("read"), st.booleans()),
        st.tuples(st.just("restart"), st.integers(0, 4)),
    ),
    min_size=6,
    max_size=30,
)
CLOCKS = st.lists(st.integers(0, 10_000), min_size=1, max_size=8)
SOURCES = ["debezium postgresql", "debezium mysql", "maxwell -", "canal -"]


def run(rows: set[Key], steps: list[Any]) -> Database:
    database = Database({key: {"tenant": key[0], "id": key[1], "v": -1, "big": "big"} for key in rows})
    for step in [("read", False), *steps]:
        match step:
            case ("write", slot, (tenant, id_), value, unsent):
                row = database.row((tenant, id_), slot)
                new = {"tenant": tenant, "id": id_, "v": value, "big": row["big"] if row and unsent else f"big {value}"}
                database.change(slot, (tenant, id_), new, ("big",) if row and unsent else ())
            case ("delete", slot, key):
                database.change(slot, key, None)
            case ("rekey", slot, old, new_key):
                database.rekey(slot, old, new_key)
            case ("commit", slot):
                database.commit(slot)
            case ("read", incremental):
                database.read(incremental=incremental)
            case ("restart", back):
                database.restart(back)
    for slot in (0, 1):
        database.commit(slot)
    return database


def last_words(updates: list[Update]) -> dict[str, Update]:
    """What the cache ends at, whichever way the writes come: the greatest version, then a tombstone."""
    held: dict[str, Update] = {}
    for one in updates:
        other = held.get(one.entity_id)
        if other is None or (one.version, one.deleted) >= (other.version, other.deleted):
            held[one.entity_id] = one
    return held


@pytest.mark.parametrize("source", SOURCES)
@settings(max_examples=300)
@given(rows=st.sets(KEYS), steps=STEPS, clocks=CLOCKS, late=st.randoms(use_true_random=False))
def test_the_last_words_are_the_rows_or_a_dead_letter_says_why(
    source: str,
    rows: set[Key],
    steps: list[Any],
    clocks: list[int],
    late: Any,  # noqa: ANN401
) -> None:
    database = run(rows, steps)
    format_, connector = source.split()
    rules = Rules(format=format_, id_field="tenant,id", columns=("tenant", "id", "v", "big"))
    updates: list[Update] = []
    letters: set[Key] = set()
    refused: list[str] = []
    for records in topic(database.stream, clocks, format_, connector):
        for record in records:
            try:
                updates += decode(record, rules)
            except InvalidUpdateError as error:
                refused.append(str(error))
                told = json.loads(record.value or b"")
                row = told["after"] if format_ == "debezium" else told["data"]
                row = row[0] if isinstance(row, list) else row
                letters.add((int(row["tenant"]), int(row["id"])))
                if format_ != "debezium" and told["old"]:  # the row had another key
                    former = row | (told["old"][0] if isinstance(told["old"], list) else told["old"])
                    letters.add((int(former["tenant"]), int(former["id"])))
    assert all("'big' did not change" in reason or "the row's id changed" in reason for reason in refused)
    late.shuffle(updates)  # tasks overtake one another
    held = last_words(updates)
    for key in {key_of(row) for event in database.stream for row in [event.change.after or event.change.before or {}]}:
        if key in letters:
            continue
        found, row = held[f"{key[0]},{key[1]}"], database.rows.get(key)
        assert found.deleted == (row is None), (key, found, row)
        if row is not None:
            as_written = {name: str(value) for name, value in row.items()} if format_ == "canal" else row
            assert json.loads(found.data or b"") == as_written, (key, found, row)


def loading(updates: list[Update], database: Database) -> dict[str, Update]:
    """What the cache ends at with a loader, whichever way the tasks come; as tasks/refresh.py and the script decide."""
    held: dict[str, Update] = {}
    rows = {f"{key[0]},{key[1]}": row for key, row in database.rows.items()}
    for token, one in enumerate(updates, 1):
        other = held.get(one.entity_id)
        version, update = one.version, one
        if other is not None and other.version.tells_nothing_of(version):
            version = version.asked()
        if one.is_notice or version.asks:
            row = rows.get(one.entity_id)
            if version.asks:
                version = version.loaded(None if other is None else other.version, f"{token:016x}")
            data = None if row is None else json.dumps(row).encode()
            update = replace(one, version=version, data=data, deleted=row is None)
        if other is None or (update.version, update.deleted) >= (other.version, other.deleted):
            held[one.entity_id] = update
    return held


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("how", ["one partition", "a loader"])
@settings(max_examples=200)
@given(rows=st.sets(KEYS), steps=STEPS, clocks=CLOCKS, late=st.randoms(use_true_random=False))
def test_keys_that_change_end_right_in_one_partition_and_with_a_loader(
    how: str,
    source: str,
    rows: set[Key],
    steps: list[Any],
    clocks: list[int],
    late: Any,  # noqa: ANN401
) -> None:
    database = run(rows, [step for step in steps if how == "a loader" or step[0] != "write" or not step[-1]])
    format_, connector = source.split()
    told = {"format": format_, "id_field": "tenant,id", "columns": ("tenant", "id", "v", "big")}
    rules = Rules(**told, notices=how == "a loader", one_partition=how != "a loader")  # type: ignore[arg-type]
    count = PARTITIONS if how == "a loader" else 1
    updates = [
        update
        for records in topic(database.stream, clocks, format_, connector, count)
        for record in records
        for update in decode(record, rules)
    ]
    late.shuffle(updates)
    held = loading(updates, database) if how == "a loader" else last_words(updates)
    for name, found in held.items():
        tenant, id_ = name.split(",")
        row = database.rows.get((int(tenant), int(id_)))
        assert found.deleted == (row is None), (name, found, row)
        if row is not None:
            told_row = json.loads(found.data or b"")
            assert {column: str(value) for column, value in told_row.items()} == {c: str(v) for c, v in row.items()}

"""Which records of a topic are a product's, and which of them counts."""

import json

import pytest
from confluent_kafka import Message

from lastword.commands.inspecting.entity_search import Findings, home_partition
from lastword.contract.change import key_of
from lastword.contract.record import KeyForm, Rules
from lastword.contract.version import Version

AT_MS = 1_763_800_000_000


def message(
    offset: int,
    *,
    key: bytes | None = b"42",
    value: bytes | None = None,
    sequence: int | None = None,
    entity_id: str | int = "42",
    partition: int = 0,
) -> Message:
    record = {"product_id": entity_id, "updated_at": AT_MS, "sequence": sequence, "data": offset}
    body = json.dumps(record).encode() if value is None else value
    return Message(topic="t", partition=partition, offset=offset, key=key, value=body, timestamp=(1, AT_MS + offset))


def findings(*messages: Message, rules: Rules | None = None, keep: int = 3) -> Findings:
    found = Findings("42", rules or Rules(), keep)
    for one in messages:
        found.take(one)
    return found


def test_the_greatest_version_counts_and_the_last_records_are_kept() -> None:
    found = findings(*(message(offset, sequence=sequence) for offset, sequence in enumerate([1, 9, 3, 4, 5])))
    assert found.version == Version(AT_MS * 1_000, 9)
    assert found.newest is not None
    assert found.newest.record_id == (0, 1)
    assert [one.offset for one in found.latest] == [4, 3, 2]
    assert (found.count, found.looked_at) == (5, 5)


def test_without_a_sequence_the_offset_orders() -> None:
    assert findings(message(3), message(7)).version == Version(AT_MS * 1_000, 7)


def test_the_last_of_several_partitions_is_told_by_time() -> None:
    found = findings(message(50, partition=1), message(60, partition=0), message(55, partition=1))
    assert [one.offset for one in found.latest] == [60, 55, 50]


def test_other_products_are_passed_over() -> None:
    others = [message(0, key=b"43", entity_id="43"), message(1, key=None, entity_id="43"), message(2, key=b"\xff")]
    found = findings(*others)
    assert (found.count, found.looked_at, found.newest, found.latest) == (0, 3, None, [])


@pytest.mark.parametrize(
    ("rules", "key", "entity_id"),
    [
        (Rules(), b"42", "42"),
        (Rules(), None, "42"),
        (Rules(), None, 42),
        (Rules(key_form=KeyForm.JSON), b'"42"', "42"),
        (Rules(key_form=KeyForm.JSON), b" 42 ", 42),
        (Rules(key_form=KeyForm.INT64), key_of("42", KeyForm.INT64), 42),
        (Rules(key_must_agree=False), b"anything", "42"),
    ],
)
def test_a_product_is_known_by_its_key_or_by_its_value(rules: Rules, key: bytes | None, entity_id: str | int) -> None:
    assert findings(message(0, key=key, entity_id=entity_id), rules=rules).count == 1


@pytest.mark.parametrize(
    "given",
    [
        message(0, value=b"no JSON"),
        message(0, key=None, value=b'{"product_id": "42"}'),
        message(0, value=b'{"product_id": "43", "updated_at": 1763800000000, "data": 1}'),
    ],
)
def test_an_invalid_record_that_names_the_product_is_found(given: Message) -> None:
    found = findings(given)
    assert found.newest is None
    assert found.latest[0].invalid


@pytest.mark.parametrize(
    ("rules", "known"),
    [
        (Rules(), True),
        (Rules(key_form=KeyForm.INT64), True),
        (Rules(key_form=KeyForm.JSON), False),
        (Rules(key_must_agree=False), False),
    ],
)
def test_where_the_key_belongs_is_known_if_it_has_one_form(rules: Rules, known: bool) -> None:  # noqa: FBT001
    home = home_partition("42", rules, 8)
    assert (home is not None) == known


def test_a_product_that_no_int64_spells_is_looked_for_everywhere() -> None:
    assert home_partition("teapot", Rules(key_form=KeyForm.INT64), 8) is None

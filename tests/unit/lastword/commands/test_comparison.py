"""The newest version of every product on a topic, and what it means that Redis does not hold it."""

import json

import pytest
from confluent_kafka import Message

from lastword.commands.verifying.comparison import Missing, NewestRecord, NewestVersions, sort_out
from lastword.contract.record import Rules
from lastword.contract.version import VERSION_LIMIT, Version
from lastword.kafka.group import Group, Progress

AT_MS = 1_763_800_000_000
HOUR_S = 3_600


def message(offset: int, at_ms: int, sequence: int, *, product: str = "p", partition: int = 0) -> Message:
    value = json.dumps({"product_id": product, "updated_at": at_ms, "sequence": sequence, "data": 1}).encode()
    return Message(topic="t", partition=partition, offset=offset, key=None, value=value, timestamp=(1, AT_MS))


def newest_of(*messages: Message) -> NewestVersions:
    newest = NewestVersions(Rules())
    for one in messages:
        newest.take(one)
    return newest


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (message(0, AT_MS, 255), message(1, AT_MS, 256)),
        (message(0, AT_MS, VERSION_LIMIT - 1), message(1, AT_MS + 1, 0)),
        (message(9, AT_MS, 9), message(1, AT_MS, 10)),
        (message(255, AT_MS, 1), message(256, AT_MS, 1)),
        (message(999, AT_MS, 1), message(0, AT_MS, 1, partition=1)),
    ],
)
def test_versions_are_compared_as_numbers_then_places(first: Message, second: Message) -> None:
    for order in ((first, second), (second, first)):
        assert newest_of(*order)["p"].record_id == (second.partition(), second.offset())


def test_a_row_is_what_was_put_in() -> None:
    newest = newest_of(message(2**40, AT_MS, VERSION_LIMIT - 1, partition=999))
    assert newest["p"] == NewestRecord(Version(AT_MS * 1_000, VERSION_LIMIT - 1), 999, 2**40, AT_MS)


@pytest.mark.parametrize("timestamp", [(1, -1), (1, -2_000), (2, -1), (0, -1)])
def test_a_record_with_a_time_below_zero_has_none(timestamp: tuple[int, int]) -> None:
    value = json.dumps({"product_id": "p", "updated_at": AT_MS, "sequence": 1, "data": 1}).encode()
    newest = newest_of(Message(topic="t", partition=0, offset=0, value=value, timestamp=timestamp))
    assert newest["p"] == NewestRecord(Version(AT_MS * 1_000, 1), 0, 0, 0)


def test_invalid_records_are_counted_and_no_product() -> None:
    newest = newest_of(Message(topic="t", partition=0, offset=0, value=b"no JSON"), message(1, AT_MS, 1))
    assert (len(newest), newest.records, newest.invalid) == (1, 2, 1)


def test_all_products_come_in_batches() -> None:
    newest = newest_of(*(message(number, AT_MS, number, product=f"p{number}") for number in range(2_500)))
    batches = list(newest.batches())
    assert [len(batch) for batch in batches] == [1_000, 1_000, 500]
    assert {name: one for batch in batches for name, one in batch.items()} == dict(newest)


def missing(offset: int, *, held: int | None = None, partition: int = 0) -> Missing:
    read = None if held is None else Version(held, 0)
    return Missing("p", read, NewestRecord(Version(9, 0), partition, offset, AT_MS))


@pytest.mark.parametrize(
    ("one", "ttl_s", "where"),
    [
        (missing(4), None, "lost"),
        (missing(5), None, "in_flight"),
        (missing(4, held=8), None, "lost"),
        (missing(0, partition=1), None, "in_flight"),  # nothing is committed there
        (missing(0, partition=2), None, "in_flight"),  # committed on a topic that is gone
        (missing(4), HOUR_S, "expired"),
        (missing(4), HOUR_S + 1, "lost"),
        (missing(4, held=8), HOUR_S, "lost"),
        (missing(5), HOUR_S, "in_flight"),
    ],
)
def test_what_a_missing_version_means(one: Missing, ttl_s: int | None, where: str) -> None:
    group = Group("g", 1, {0: Progress(0, 9, 5), 1: Progress(0, 9, None), 2: Progress(0, 9, 10)})
    found = sort_out([one], group, ttl_s=ttl_s, now_s=AT_MS / 1_000 + HOUR_S)
    assert {name: list(part) for name, part in zip(found._fields, found, strict=True)} == {
        name: [one] if name == where else [] for name in ("lost", "in_flight", "expired")
    }

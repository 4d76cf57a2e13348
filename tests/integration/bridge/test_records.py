"""The consumer on a real Kafka: what is fetched, and what is committed and when."""

import pytest
from confluent_kafka import Message

from lastword.contract.record import InvalidUpdateError
from lastword.kafka.headers import RECORD_BYTES, headers_of, size_of
from tests.kafka_helpers import (
    RUN_ID,
    Given,
    Member,
    at_most,
    committed,
    numbered,
    produce,
    produce_with_header,
    values,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.core

# What is fetched.


def test_a_new_group_reads_from_the_beginning(address: str, topic: str, member: Member) -> None:
    produce(address, topic, numbered(3))
    assert values(member.fetch_until(3)) == [b"0", b"1", b"2"]


def test_null_values_and_all_headers_survive(address: str, topic: str, member: Member) -> None:
    headers: list[tuple[str, str | bytes | None]] = [
        ("a", b"1"),
        ("a", b"\x00\xff"),
        ("b", None),
        ("ü", b""),
        ("a", "ü"),
    ]
    produce(address, topic, [Given(b"\x00\xff", None, headers), Given(None, b""), Given(b"", b"v")])

    deleted, keyless, plain = member.fetch_until(3)

    assert (deleted.key(), deleted.value()) == (b"\x00\xff", None)
    assert headers_of(deleted) == [("a", b"1"), ("a", b"\x00\xff"), ("b", None), ("ü", b""), ("a", "ü".encode())]
    assert (keyless.key(), keyless.value(), headers_of(keyless)) == (None, b"", [])
    assert (plain.key(), plain.value()) == (b"", b"v")


def test_a_header_whose_name_is_no_text_makes_the_record_invalid_and_nothing_worse(
    address: str, topic: str, member: Member
) -> None:
    produce(address, topic, [Given(headers=[("a", b"1")])] * 100)
    for good in member.fetch_until(100):
        # Warm: a specialized call of the binding does not notice what is wrong, and ended in a segmentation fault.
        assert headers_of(good) == [("a", b"1")]
    produce_with_header(address, topic, b"\xff\xfe", b"value")
    [record] = member.fetch_until(1)

    with pytest.raises(InvalidUpdateError, match="not UTF-8"):
        headers_of(record)

    assert headers_of(record) == []
    assert record.value() == b"value"


def test_fetch_returns_with_the_first_record_and_with_all_that_wait(address: str, topic: str, member: Member) -> None:
    produce(address, topic, numbered(1))
    member.fetch_until(1)

    assert member.records.fetch(500, 0.1) == []

    produce(address, topic, numbered(1))
    with at_most(60, "a fetch with one record"):
        records: list[Message] = []
        while not records:  # that the partition was at its end may be told first, late as it is
            records = member.records.fetch(500, 300)
        assert len(records) == 1

    produce(address, topic, numbered(300))
    found, calls = 0, 0
    while found < 300:
        found += len(member.records.fetch(500, 60))
        calls += 1
    assert (found, calls < 100) == (300, True), "many with each call"


def test_fetch_returns_no_more_than_asked_for_and_loses_none(address: str, topic: str, member: Member) -> None:
    produce(address, topic, numbered(20))
    found = member.fetch_until(0)
    while len(found) < 20:
        some = member.records.fetch(3, 1)
        assert len(some) <= 3
        found += some
    assert values(found) == [f"{number}".encode() for number in range(20)]


# What is committed.


def test_what_is_stored_is_committed_by_itself_with_its_metadata(
    address: str, topic: str, group: str, member: Member
) -> None:
    produce(address, topic, numbered(5))
    member.fetch_until(5)

    member.store(2, "an older run")
    member.store(3, RUN_ID)

    def arrived() -> bool:
        member.records.fetch(1, 0.05)
        return committed(address, group, topic) == (3, RUN_ID)

    wait_until(arrived, what="the auto-commit")


def test_what_is_not_stored_is_not_committed_even_at_the_end(
    address: str, topic: str, group: str, member: Member
) -> None:
    produce(address, topic, numbered(5))
    member.fetch_until(5)
    member.store(1, RUN_ID)
    member.close()

    assert committed(address, group, topic) == (1, RUN_ID)
    with Member(address, topic, group) as next_one:
        assert values(next_one.fetch_until(4)) == [b"1", b"2", b"3", b"4"]


def test_what_is_stored_in_a_revocation_is_committed_and_no_older_offset_follows(
    address: str, topic: str, group: str, member: Member
) -> None:
    produce(address, topic, numbered(5))
    member.fetch_until(5)
    member.store(2, "older")
    member.on_revoked = lambda _: member.store(4, RUN_ID)

    member.close()

    assert committed(address, group, topic) == (4, RUN_ID)


def test_a_partition_that_is_not_ours_is_skipped_and_ours_is_stored(
    address: str, topic: str, group: str, member: Member
) -> None:
    produce(address, topic, numbered(3))
    member.fetch_until(3)

    member.records.commit(7, 5, RUN_ID)
    member.records.commit(0, 2, RUN_ID)
    member.close()

    assert committed(address, group, topic) == (2, RUN_ID)


def test_the_size_of_a_record_counts_its_key_and_its_headers(address: str, topic: str, member: Member) -> None:
    produce(address, topic, [Given(value=None, key=b"k" * 100, headers=[("h" * 10, b"v" * 5_000), ("n", None)])])
    [record] = member.fetch_until(1)
    assert size_of(record, headers_of(record)) == RECORD_BYTES + 100 + 10 + 5_000 + 1

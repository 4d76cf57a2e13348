"""Dead letters on a real Kafka: kept as they came, explained, tried again, never dropped."""

import time
from collections.abc import Iterator

import pytest
from confluent_kafka import Message

from bridge.delivery.in_flight import InFlight
from bridge.delivery.partition_in_flight import Bounds
from bridge.delivery.retransmit import Clocks
from bridge.delivery.window import Window
from bridge.letters.dead_letters import PREFIX, DeadLetter, DeadLetters
from lastword.contract.record import VERSION_HEADER, Update
from lastword.contract.version import Version
from lastword.kafka.headers import headers_of
from servers import Reachable
from tests.kafka_helpers import Given, create_topic, produce, read
from tests.waiting import DEADLINE_S, wait_until

UPDATE = Update(entity_id="42", version=Version(1_763_800_000_000_000, 7), data=b"1")


@pytest.fixture
def window() -> Window:
    window = Window(Bounds(), Clocks())
    window.assign([0, 1])
    return window


@pytest.fixture
def letters(kafka_server: Reachable, topic: str) -> Iterator[DeadLetters]:
    letters = DeadLetters({"bootstrap.servers": kafka_server.address}, f"{topic}-dlt")
    yield letters
    letters.close(5)


def undecoded(window: Window, message: Message, reason: str = "it is no JSON") -> DeadLetter:
    number, offset = message.partition() or 0, message.offset() or 0
    entry = window.add_dead_letter(number, offset, size=len(message), source=message)
    return DeadLetter(entry, message, "decode", "InvalidUpdateError", reason)


def failed(window: Window, message: Message) -> DeadLetter:
    window.add(0, message.offset() or 0, [UPDATE], size=len(message), source=message)
    (entry,) = window.unsent(1)
    assert window.give_up(entry)
    return DeadLetter(entry, message, "apply", "UnusableKeyError", "the key holds a list")


def deliver(letters: DeadLetters, count: int, *, deadline_s: float = DEADLINE_S) -> list[InFlight]:
    arrived: list[InFlight] = []

    def all_of_them() -> bool:
        arrived.extend(letters.delivered(time.monotonic()))
        return len(arrived) >= count

    wait_until(all_of_them, deadline_s=deadline_s, what=f"{count} dead letters delivered")
    return arrived


def wait_for_refusal(letters: DeadLetters) -> frozenset[int]:
    def refused() -> frozenset[int]:
        assert letters.delivered(0.0) == []  # long ago: nothing is due to be sent again
        return letters.refused()

    return wait_until(refused, what="a refusal")


@pytest.mark.core
def test_a_letter_is_the_record_as_it_came_with_its_reason(
    kafka_server: Reachable, topic: str, window: Window, letters: DeadLetters, caplog: pytest.LogCaptureFixture
) -> None:
    create_topic(kafka_server.address, topic, 2)
    create_topic(kafka_server.address, f"{topic}-dlt")
    own: list[tuple[str, str | bytes | None]] = [("trace", b"\x00\xff"), ("trace", None), ("", b"")]
    given = [
        Given(b"\x00\xff", b"\xfe{", own),
        Given(None, b""),
        Given(b"deleted", None, [(VERSION_HEADER, b"not a version")]),
        Given(b"elsewhere", b"x", partition=1),
    ]
    produce(kafka_server.address, topic, given)
    records = read(kafka_server.address, topic, 4, partitions=2)

    sent = [undecoded(window, record, "a reason: Größe \ud800") for record in records]
    for letter in sent:
        letters.send(letter)
    assert letters.under_way == 4
    assert set(deliver(letters, 4)) == {letter.entry for letter in sent}
    assert (letters.under_way, letters.refused()) == (0, frozenset())
    assert "partition 0 offset 0: a reason: Größe \\ud800" in caplog.text

    found = {message.value(): message for message in read(kafka_server.address, f"{topic}-dlt", 4)}
    for record in records:
        message = found[record.value()]
        assert message.key() == record.key()
        count = len(headers_of(record))
        assert headers_of(message)[:count] == headers_of(record)
        ours = dict(headers_of(message)[count:])
        assert {name.removeprefix(PREFIX): (value or b"").decode() for name, value in ours.items()} == {
            "topic": topic,
            "partition": str(record.partition()),
            "offset": str(record.offset()),
            "timestamp": str(record.timestamp()[1]),
            "stage": "decode",
            "class": "InvalidUpdateError",
            "message": "a reason: Größe \\ud800",
        }


@pytest.mark.core
def test_a_letter_of_a_known_update_carries_its_version_once(
    kafka_server: Reachable, topic: str, window: Window, letters: DeadLetters
) -> None:
    create_topic(kafka_server.address, topic)
    create_topic(kafka_server.address, f"{topic}-dlt")
    version = str(UPDATE.version).encode()
    produce(kafka_server.address, topic, [Given(b"42", b"v", [(VERSION_HEADER, version), ("own", b"1")])])
    [record] = read(kafka_server.address, topic, 1)

    letters.send(failed(window, record))
    deliver(letters, 1)

    [message] = read(kafka_server.address, f"{topic}-dlt", 1)
    headers = headers_of(message)
    assert [value for name, value in headers if name == VERSION_HEADER] == [version]
    assert headers[0] == ("own", b"1")
    assert (f"{PREFIX}stage", b"apply") in headers
    assert (f"{PREFIX}class", b"UnusableKeyError") in headers


@pytest.mark.core
def test_a_letter_that_finds_no_topic_is_delivered_once_there_is_one(
    kafka_server: Reachable, topic: str, window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.letters.dead_letters.DELIVERY_TIMEOUT_MS", 300)
    letters = DeadLetters({"bootstrap.servers": kafka_server.address}, f"{topic}-dlt")
    create_topic(kafka_server.address, topic, 2)
    produce(kafka_server.address, topic, [Given(partition=1, value=b"kept")])
    [record] = read(kafka_server.address, topic, 1, partitions=2)
    letter = undecoded(window, record)
    letters.send(letter)

    assert wait_for_refusal(letters) == {1}
    assert letters.under_way == 1
    assert letters.delivered(time.monotonic() + 10) == []
    assert letters.refused() == {1}, "while it is tried again, its partition stays paused"

    create_topic(kafka_server.address, f"{topic}-dlt")
    assert deliver(letters, 1) == [letter.entry]
    assert (letters.refused(), letters.under_way) == (frozenset(), 0)
    assert [m.value() for m in read(kafka_server.address, f"{topic}-dlt", 1)] == [b"kept"]
    letters.close(5)


def test_a_letter_whose_partition_went_away_is_not_tried_again(
    kafka_server: Reachable, topic: str, window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.letters.dead_letters.DELIVERY_TIMEOUT_MS", 300)
    letters = DeadLetters({"bootstrap.servers": kafka_server.address}, f"{topic}-dlt")
    create_topic(kafka_server.address, topic)
    produce(kafka_server.address, topic, [Given()])
    [record] = read(kafka_server.address, topic, 1)
    letters.send(undecoded(window, record))
    wait_for_refusal(letters)

    window.revoke([0])
    assert letters.delivered(time.monotonic() + 10) == []

    assert (letters.refused(), letters.under_way) == (frozenset(), 0)


def test_more_letters_than_the_buffer_holds_are_all_delivered(
    kafka_server: Reachable, topic: str, window: Window
) -> None:
    create_topic(kafka_server.address, topic)
    create_topic(kafka_server.address, f"{topic}-dlt")
    letters = DeadLetters(
        {"bootstrap.servers": kafka_server.address, "queue.buffering.max.messages": 10}, f"{topic}-dlt"
    )
    produce(kafka_server.address, topic, [Given(value=f"{number}".encode()) for number in range(25)])
    sent = [undecoded(window, record) for record in read(kafka_server.address, topic, 25)]
    for letter in sent:
        letters.send(letter)
    assert letters.refused() == {0}

    assert set(deliver(letters, 25)) == {letter.entry for letter in sent}
    assert len(read(kafka_server.address, f"{topic}-dlt", 25)) == 25
    letters.close(5)


SMALL_TOPIC = {"max.message.bytes": "3000"}


def ours(message: Message) -> dict[str, str]:
    found = headers_of(message)
    return {name.removeprefix(PREFIX): (value or b"").decode() for name, value in found if name.startswith(PREFIX)}


@pytest.mark.core
@pytest.mark.parametrize(
    ("given", "omitted"),
    [
        pytest.param(Given(b"42", b"v" * 9_000, [("own", b"1")]), {"value-omitted": "9000"}, id="value"),
        pytest.param(
            Given(b"42", b"v", [("own", b"h" * 8_997)]),
            {"value-omitted": "1", "headers-omitted": "9000"},
            id="headers",
        ),
        pytest.param(Given(b"42", None, [("own", b"h" * 8_997)]), {"headers-omitted": "9000"}, id="tombstone"),
        pytest.param(Given(b"k" * 9_000, b""), {"key-omitted": "9000"}, id="key"),
        pytest.param(
            Given(b"k" * 9_000, b"v" * 5_000, [("own", b"1")]),
            {"value-omitted": "5000", "headers-omitted": "4", "key-omitted": "9000"},
            id="all",
        ),
    ],
)
def test_a_letter_too_large_for_its_topic_goes_without_a_part_and_says_so(
    kafka_server: Reachable, topic: str, window: Window, letters: DeadLetters, given: Given, omitted: dict[str, str]
) -> None:
    create_topic(kafka_server.address, topic)
    create_topic(kafka_server.address, f"{topic}-dlt", config=SMALL_TOPIC)
    produce(kafka_server.address, topic, [given])
    [record] = read(kafka_server.address, topic, 1)
    letter = undecoded(window, record, "too long a reason " * 5_000)

    letters.send(letter)
    assert deliver(letters, 1) == [letter.entry]
    assert (letters.under_way, letters.refused()) == (0, frozenset())

    [message] = read(kafka_server.address, f"{topic}-dlt", 1)
    found = ours(message)
    assert {name: size for name, size in found.items() if name.endswith("-omitted")} == omitted
    assert (message.value() or None) == (None if "value-omitted" in omitted else given.value or None)
    assert message.key() == (None if "key-omitted" in omitted else given.key)
    own = [] if "headers-omitted" in omitted else given.headers
    assert [header for header in headers_of(message) if not header[0].startswith(PREFIX)] == own
    assert (found["topic"], found["offset"]) == (topic, "0")
    assert found["message"].startswith("too long a reason ")


def test_a_letter_without_the_records_headers_still_has_a_known_version(
    kafka_server: Reachable, topic: str, window: Window, letters: DeadLetters
) -> None:
    create_topic(kafka_server.address, topic)
    create_topic(kafka_server.address, f"{topic}-dlt", config=SMALL_TOPIC)
    produce(kafka_server.address, topic, [Given(b"42", b"v", [("own", b"h" * 9_000)])])
    [record] = read(kafka_server.address, topic, 1)

    letters.send(failed(window, record))
    deliver(letters, 1)

    [message] = read(kafka_server.address, f"{topic}-dlt", 1)
    assert (VERSION_HEADER, str(UPDATE.version).encode()) in headers_of(message)


def test_letters_that_fit_one_by_one_keep_everything(
    kafka_server: Reachable, topic: str, window: Window, letters: DeadLetters
) -> None:
    create_topic(kafka_server.address, topic)
    create_topic(kafka_server.address, f"{topic}-dlt", config=SMALL_TOPIC)
    given = [b"%d" % number * 1_500 for number in range(9)]
    produce(kafka_server.address, topic, [Given(value=value) for value in given])

    for record in read(kafka_server.address, topic, len(given)):
        letters.send(undecoded(window, record))
    deliver(letters, len(given))

    assert sorted(m.value() or b"" for m in read(kafka_server.address, f"{topic}-dlt", len(given))) == given


def test_a_letter_too_large_for_the_client_goes_without_its_value(
    kafka_server: Reachable, topic: str, window: Window
) -> None:
    create_topic(kafka_server.address, topic)
    create_topic(kafka_server.address, f"{topic}-dlt")
    produce(kafka_server.address, topic, [Given(b"42", b"v" * 9_000)])
    [record] = read(kafka_server.address, topic, 1)
    letters = DeadLetters({"bootstrap.servers": kafka_server.address, "message.max.bytes": 3_000}, f"{topic}-dlt")

    letters.send(undecoded(window, record))
    deliver(letters, 1)

    [message] = read(kafka_server.address, f"{topic}-dlt", 1)
    assert (message.value(), ours(message)["value-omitted"]) == (None, "9000")
    letters.close(5)

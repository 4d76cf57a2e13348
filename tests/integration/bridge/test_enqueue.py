"""Enqueuing on a real Redis as Celery's broker: one task per update, in order, and every call bounded."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import redis

from bridge.delivery.in_flight import InFlight
from bridge.delivery.partition_in_flight import Bounds
from bridge.delivery.retransmit import Clocks
from bridge.delivery.window import Window
from bridge.enqueue.enqueue import BATCH_BYTES, EnqueueError, Enqueuer
from lastword.contract.record import Update
from lastword.contract.task import BATCH_NAME, TASK_NAME, Arguments, decode, decode_batch
from lastword.contract.task_id import record_id
from lastword.contract.version import Version
from servers import Redis
from tests.kafka_helpers import at_most
from tests.task_helpers import client_app

pytestmark = pytest.mark.core

QUEUE = "lastword"
TOO_LONG_S = 60.0  # for a call whose deadline is 5 s, on a machine that is busy


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A Redis of our own: it is paused and killed."""
    with Redis(tmp_path_factory.mktemp("broker")) as server:
        yield server


@pytest.fixture
def raw(broker: Redis) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(broker.url(1)) as client:
        client.flushdb()
        yield client


@pytest.fixture
def enqueuer(broker: Redis) -> Iterator[Enqueuer]:
    enqueuer = Enqueuer(client_app(broker.url(1)), "products")
    yield enqueuer
    enqueuer.close()


def entries(count: int, *, first: int = 0) -> list[InFlight]:
    window = Window(Bounds(), Clocks())
    window.assign([3])
    for number in range(first, first + count):
        data = None if number % 10 == 9 else f'{{"name":"Größe {number}"}}'.encode()
        update = Update(entity_id=f"p/{number} 🦆", version=Version(10**15, number), data=data, deleted=data is None)
        window.add(3, number, [update], size=1, source=None)
    return window.unsent(count)


def messages(raw: redis.Redis) -> list[tuple[dict[str, Any], list[Any]]]:
    """What is in the queue, oldest first: the headers and the body of each message."""
    found = []
    for message in reversed(raw.lrange(QUEUE, 0, -1)):
        envelope = json.loads(message)
        found.append((envelope["headers"], json.loads(envelope["body"])))
    return found


def arguments(found: Sequence[tuple[dict[str, Any], list[Any]]]) -> list[Arguments]:
    return [decode(*body[0]) for _, body in found]


def calls(raw: redis.Redis) -> dict[str, int]:
    stats: dict[str, dict[str, int]] = raw.info("commandstats")
    return {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}


def test_each_update_becomes_a_task_in_order_that_a_worker_understands(enqueuer: Enqueuer, raw: redis.Redis) -> None:
    given = entries(50)
    enqueuer.send(given)

    found = messages(raw)
    assert [headers["id"] for headers, _ in found] == [f"products:3:{number}" for number in range(50)]
    assert {headers["task"] for headers, _ in found} == {TASK_NAME}
    assert {headers["ignore_result"] for headers, _ in found} == {True}
    read = arguments(found)
    assert [one.update for one in read] == [entry.update for entry in given]
    assert [[one.nonce] for one in read] == [entry.nonces for entry in given]
    assert len({one.nonce for one in read}) == 50
    assert all(one.not_after == pytest.approx(one.first_sent + 600) for one in read)


def test_a_second_send_has_the_same_first_time_and_an_id_and_a_nonce_of_its_own(
    enqueuer: Enqueuer, raw: redis.Redis
) -> None:
    given = entries(2)
    enqueuer.send(given)
    given[0].sends = 1  # as the window notes it
    enqueuer.send(given[:1])

    found = messages(raw)
    first, other, again = arguments(found)
    assert [headers["id"] for headers, _ in found] == ["products:3:0", "products:3:1", f"products:3:0@2-{again.nonce}"]
    assert enqueuer.task_id(given[0]) == record_id(found[2][0]["id"]) == "products:3:0"
    assert found[2][0]["root_id"] == found[2][0]["id"]
    assert again.first_sent == first.first_sent
    assert again.not_after > first.not_after
    assert [first.nonce, again.nonce] == given[0].nonces
    assert len({first.nonce, other.nonce, again.nonce}) == 3


def test_another_bridge_has_other_nonces(enqueuer: Enqueuer, broker: Redis, raw: redis.Redis) -> None:
    other = Enqueuer(client_app(broker.url(1)), "products")
    enqueuer.send(entries(5))
    other.send(entries(5))
    other.close()
    assert len({one.nonce for one in arguments(messages(raw))}) == 10


def test_updates_of_one_record_have_ids_of_their_own(enqueuer: Enqueuer, raw: redis.Redis) -> None:
    window = Window(Bounds(), Clocks())
    window.assign([0])
    pair = [Update(entity_id=name, version=Version(1, 1), data=b"1") for name in ("a", "b")]
    window.add(0, 12, pair, size=1, source=None)
    again, *_ = sent = window.unsent(10)
    enqueuer.send(sent)
    again.sends = 1  # as the window notes it
    enqueuer.send(sent)
    ids = [headers["id"] for headers, _ in messages(raw)]
    assert ids == ["products:0:12", "products:0:12:1", f"products:0:12@2-{again.nonces[1]}", "products:0:12:1"]


def test_a_batch_takes_one_read_of_the_servers_socket_not_one_per_task(enqueuer: Enqueuer, raw: redis.Redis) -> None:
    enqueuer.send(entries(1))  # connects and declares the queue
    raw.config_resetstat()
    before = raw.info("stats")["total_reads_processed"]
    enqueuer.send(entries(500))
    reads = raw.info("stats")["total_reads_processed"] - before

    assert calls(raw)["lpush"] == 1
    assert reads < 250  # about 30 of 16 KiB on an idle machine; on a busy one the server reads what has come so far


@pytest.fixture
def batching(broker: Redis) -> Iterator[Enqueuer]:
    enqueuer = Enqueuer(client_app(broker.url(1)), "products", updates_per_task=20)
    yield enqueuer
    enqueuer.close()


def test_a_backlog_shares_tasks(batching: Enqueuer, raw: redis.Redis) -> None:
    given = entries(50)
    batching.send(given)

    found = messages(raw)
    assert [headers["id"] for headers, _ in found] == ["products:3:0+19", "products:3:20+19", "products:3:40+9"]
    assert {headers["task"] for headers, _ in found} == {BATCH_NAME}
    assert [headers["argsrepr"] for headers, _ in found] == ["(20 updates)", "(20 updates)", "(10 updates)"]
    batches = [decode_batch(*body[0]) for _, body in found]
    sends = [send for batch in batches for send in batch]
    assert [send.task_id for send in sends] == [f"products:3:{number}" for number in range(50)]
    assert [send.arguments.update for send in sends] == [entry.update for entry in given]
    assert [[send.arguments.nonce] for send in sends] == [entry.nonces for entry in given]
    assert len({send.arguments.nonce for send in sends}) == 3


def test_fewer_than_fit_in_a_task_have_one_each(batching: Enqueuer, raw: redis.Redis) -> None:
    batching.send(entries(19))
    assert [headers["task"] for headers, _ in messages(raw)] == [TASK_NAME] * 19


def test_what_has_been_sent_before_is_alone_and_so_is_a_notice(batching: Enqueuer, raw: redis.Redis) -> None:
    again, notice, *fresh = entries(42)
    batching.send([again])
    again.sends = 1  # as the window notes it
    notice.update = Update(entity_id="notice", version=Version(1, 1), data=None)
    raw.delete(QUEUE)
    batching.send([again, notice, *fresh])
    assert sorted(headers["id"] for headers, _ in messages(raw)) == [
        f"products:3:0@2-{again.nonces[1]}",
        "products:3:1",
        "products:3:2+19",
        "products:3:22+19",
    ]


def test_what_may_have_left_is_alone_with_the_same_nonce(batching: Enqueuer, broker: Redis, raw: redis.Redis) -> None:
    given = entries(20)
    batching.send(entries(1))
    broker.kill()
    with pytest.raises(EnqueueError):
        batching.send(given)
    [nonce] = {entry.nonces[0] for entry in given}
    broker.start()
    raw.flushdb()
    batching.send(given)
    found = messages(raw)
    assert [headers["task"] for headers, _ in found] == [TASK_NAME] * 20
    assert {one.nonce for one in arguments(found)} == {nonce}


def test_a_task_does_not_grow_beyond_a_bound(batching: Enqueuer, raw: redis.Redis) -> None:
    given = entries(40)
    for entry in given:
        entry.record.size = BATCH_BYTES // 4
    given[7].record.size = 2 * BATCH_BYTES
    batching.send(given)
    sizes = [len(decode_batch(*body[0])) for headers, body in messages(raw) if headers["task"] == BATCH_NAME]
    assert max(sizes) == 4
    assert [headers["id"] for headers, _ in messages(raw) if headers["task"] == TASK_NAME] == ["products:3:7"]


def test_nothing_to_send_is_no_error(enqueuer: Enqueuer, raw: redis.Redis) -> None:
    enqueuer.send([])
    assert raw.llen(QUEUE) == 0


def test_a_frozen_broker_is_an_error_in_time_and_forgotten_afterwards(
    enqueuer: Enqueuer, broker: Redis, raw: redis.Redis
) -> None:
    enqueuer.send(entries(1))
    given = entries(3, first=1)
    broker.pause()
    try:
        with at_most(TOO_LONG_S, "a send to a frozen broker"), pytest.raises(EnqueueError):
            enqueuer.send(given)
        with at_most(TOO_LONG_S, "to connect to a frozen broker"), pytest.raises(EnqueueError):
            enqueuer.send(given)
    finally:
        broker.resume()
    enqueuer.send(given)

    assert [len(entry.nonces) for entry in given] == [1, 1, 1], "a send that failed keeps its nonce: it may have left"
    assert [headers["id"] for headers, _ in messages(raw)][-3:] == ["products:3:1", "products:3:2", "products:3:3"]


def test_a_restarted_broker_costs_one_failure_at_most(enqueuer: Enqueuer, broker: Redis, raw: redis.Redis) -> None:
    enqueuer.send(entries(1))
    broker.restart()
    failures = 0
    for _ in range(2):
        try:
            enqueuer.send(entries(1, first=1))
            break
        except EnqueueError:
            failures += 1
    assert failures <= 1
    assert messages(raw)[-1][0]["id"] == "products:3:1"


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """kombu's own way would be to pause for seconds and to try again: the bridge has other things to do."""

    def refuse(seconds: float) -> None:
        raise AssertionError(f"kombu pauses for {seconds} s")

    monkeypatch.setattr("kombu.utils.functional.sleep", refuse)


@pytest.mark.usefixtures("no_pauses")
def test_a_broker_that_is_gone_is_an_error_at_once(enqueuer: Enqueuer, broker: Redis) -> None:
    enqueuer.send(entries(1))
    broker.kill()
    try:
        for _ in range(3):
            with pytest.raises(EnqueueError):
                enqueuer.send(entries(1))
    finally:
        broker.start()
    enqueuer.send(entries(1))


def test_a_broker_out_of_memory_is_an_error_with_its_reason(enqueuer: Enqueuer, raw: redis.Redis) -> None:
    raw.config_set("maxmemory", "1")
    try:
        with pytest.raises(EnqueueError):
            enqueuer.send(entries(2))
    finally:
        raw.config_set("maxmemory", "0")
    enqueuer.send(entries(2))
    assert raw.llen(QUEUE) == 2


@pytest.mark.usefixtures("no_pauses")
def test_an_unreachable_address_is_an_error_that_names_it() -> None:
    enqueuer = Enqueuer(client_app("redis://127.0.0.1:1/1"), "products")
    with pytest.raises(EnqueueError, match=r"127\.0\.0\.1:1"):
        enqueuer.send(entries(1))
    enqueuer.close()

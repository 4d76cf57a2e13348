"""Tasks and keys of the release before positions, beside those of now: the newer word wins, whoever writes first."""

from itertools import permutations
from typing import Any

import pytest
import redis

from lastword.cache.cache import Cache
from lastword.contract.outcome import Outcome
from lastword.contract.record import Update
from lastword.contract.task import Arguments, decode, decode_batch, encode
from lastword.contract.version import Version
from tasks.lock.locks import Locks
from tasks.refresh import refresh
from tests.unit.lastword.contract.test_arguments import through_the_broker

BEFORE: dict[str, Any] = {
    "id": "42",
    "version": "1763800240131000-24000800",
    "nonce": "0f3a-1",
    "first_sent": 1763800300.0,
    "not_after": 1763800900.0,
    "data": '{"v": 1}',
}
"""A task of Debezium's event as the release before sent it: its version is a time, then the lsn."""

GONE_BEFORE = {**BEFORE, "version": "1763800240139000-24001600", "deleted": True}
NOW = Update(
    entity_id="42", version=Version.at((3_000_150, 24_001_200), 0), data=b'{"v": 2}', time_us=1_763_800_240_135_000
)


def applied(body: dict[str, Any]) -> Update:
    return decode(1, body).update


@pytest.fixture
def key(key_prefix: str, raw: redis.Redis) -> str:
    raw.hset(
        f"{key_prefix}42", mapping={"version": "1763800240000000-7", "updated_at": "x", "token": "0" * 16, "data": "0"}
    )
    return f"{key_prefix}42"


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_a_position_wins_over_tasks_that_were_queued_before(
    order: tuple[int, ...], key: str, raw: redis.Redis, cache: Cache, locks: Locks
) -> None:
    updates = [applied(BEFORE), applied({**GONE_BEFORE, "data": None}), NOW]
    for place in order:
        refresh([updates[place]], cache, locks)
    assert raw.hmget(key, "version", "data", "deleted", "updated_at") == [
        str(NOW.version).encode(),
        b'{"v": 2}',
        None,
        b"2025-11-22T08:30:40.135000Z",
    ]
    assert refresh([applied(BEFORE)], cache, locks) == [Outcome.STALE]


def test_many_of_the_release_before(key: str, raw: redis.Redis, cache: Cache, locks: Locks) -> None:
    encoded = {
        "nonce": "0f3a-1",
        "first_sent": 1.0,
        "not_after": 2.0,
        "updates": [
            ["t:0:1", "42", BEFORE["version"], '{"v": 1}', False],
            ["t:0:2", "43", "1763800240131000-9", "1", False],
        ],
    }
    updates = [send.arguments.update for send in decode_batch(1, encoded)]
    assert refresh([*updates, NOW], cache, locks) == [Outcome.STALE, Outcome.APPLIED, Outcome.APPLIED]
    assert raw.hget(key, "data") == b'{"v": 2}'


def test_a_worker_of_before_reads_the_tasks_of_now_but_for_the_time() -> None:
    [number, body] = through_the_broker(encode(Arguments(update=NOW, nonce="n", first_sent=1.0, not_after=2.0)))
    assert number == 1
    assert body.pop("time_us") == NOW.time_us
    assert body.keys() <= BEFORE.keys()
    assert applied(body).version == NOW.version
    assert applied(body).updated_at_us == NOW.version.updated_at_us, "shown as the year 2112"

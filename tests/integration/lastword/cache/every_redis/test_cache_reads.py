"""What the cache tells without writing, on every Redis on offer: versions held, standing of updates, the look."""

import logging

import pytest

from lastword.cache.cache import Cache, TaskFailure, Write
from lastword.cache.failures import FAILURE_PREFIX
from lastword.contract.outcome import Outcome
from lastword.contract.record import Update
from lastword.contract.version import Version
from lastword.process.reach import reach_cache
from tests.redis_forms import Raw, RedisForm

V1, V2, V3 = Version(9, 5), Version(10, 0), Version(10, 1)


def update(version: Version, data: bytes | None = b"1", *, deleted: bool = False, entity_id: str = "42") -> Update:
    return Update(entity_id=entity_id, version=version, data=data, deleted=deleted)


def calls(form: RedisForm, command: str) -> int:
    return sum(int(info.get(f"cmdstat_{command}", {}).get("calls", 0)) for info in form.infos("commandstats"))


def test_held_tells_the_versions_and_reads_each_product_once(
    redis_form: RedisForm, cache: Cache, raw: Raw, key_prefix: str
) -> None:
    cache.write([Write(update(V1), ""), Write(update(V2, None, deleted=True, entity_id="43"), "")])
    raw.set(f"{key_prefix}text", "hello")
    raw.hset(f"{key_prefix}odd", "version", b"\xff")
    redis_form.reset_counts()

    assert cache.held(["42", "none", "42", "43", "text", "odd", "42"]) == {"42": V1, "43": V2}

    assert calls(redis_form, "hget") == 5


def test_holds_tells_what_need_not_be_written(redis_form: RedisForm, cache: Cache) -> None:
    cache.write([Write(update(V2, b"2"), ""), Write(update(V2, None, deleted=True, entity_id="gone"), "")])
    cases = [
        (update(V1), Outcome.STALE),
        (update(V1, None), Outcome.STALE),
        (update(V2, b"2"), Outcome.DUPLICATE),
        (update(V2, b"3"), None),
        (update(V2, None), None),
        (update(V2, None, deleted=True), None),
        (update(V3), None),
        (update(V1, entity_id="absent"), None),
        (update(V1, entity_id="gone"), Outcome.STALE),
        (update(V2, None, deleted=True, entity_id="gone"), Outcome.DUPLICATE),
        (update(V2, b"2", entity_id="gone"), None),
        (update(V2, None, entity_id="gone"), None),
    ]
    redis_form.reset_counts()

    assert cache.holds([given for given, _ in cases]) == [expected for _, expected in cases]

    assert calls(redis_form, "hmget") == 2, "one for each product whose version is an update's own"


def test_holds_needs_no_contents_when_no_version_is_an_updates_own(redis_form: RedisForm, cache: Cache) -> None:
    cache.write([Write(update(V2), "")])
    redis_form.reset_counts()

    assert cache.holds([update(V1), update(V3), update(V1, entity_id="absent")]) == [Outcome.STALE, None, None]

    assert calls(redis_form, "hmget") == 0


def test_a_hash_that_lost_its_content_is_no_duplicate(cache: Cache, raw: Raw, key_prefix: str) -> None:
    raw.hset(f"{key_prefix}42", "version", str(V2))

    assert cache.holds([update(V2), update(V2, None), update(V2, None, deleted=True)]) == [None, None, None]


def test_a_hash_with_data_and_deleted_is_a_tombstone(cache: Cache, raw: Raw, key_prefix: str) -> None:
    raw.hset(f"{key_prefix}42", mapping={"version": str(V2), "data": b"1", "deleted": "1"})

    assert cache.holds([update(V2, b"1"), update(V2, None, deleted=True)]) == [None, Outcome.DUPLICATE]


def test_look_sees_versions_and_failures(cache: Cache, raw: Raw, key_prefix: str) -> None:
    failed = TaskFailure(f"{key_prefix}task-1", V1, "nonce-1", "UnusableKeyError", "key 'x' holds a string\ud800 🦄")
    cache.record_failure(failed)
    cache.write([Write(update(V1), "")])
    raw.set(f"{key_prefix}text", "hello")

    look = cache.poll(["42", "none", "text", "42"], [failed.task_id, f"{key_prefix}task-2"])

    assert look.versions == {"42": V1}
    assert list(look.failures) == [failed.task_id]
    read = look.failures[failed.task_id]
    assert (read.version, read.nonce, read.error) == (V1, "nonce-1", "UnusableKeyError")
    assert read.message == "key 'x' holds a string\\ud800 🦄"
    assert 86_300 < raw.ttl(f"{FAILURE_PREFIX}{failed.task_id}") <= 86_400


@pytest.mark.parametrize(
    "stored",
    [b"", b"not json", b"\xff", b"{}", b'{"task_id":"t","version":"1-2","nonce":"n","error":"E","message":""}'],
)
def test_an_unreadable_failure_is_logged_and_ignored(
    cache: Cache, raw: Raw, key_prefix: str, stored: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    task_id = f"{key_prefix}task"
    raw.set(f"{FAILURE_PREFIX}{task_id}", stored)

    with caplog.at_level(logging.WARNING, logger="lastword.cache.cache"):
        assert cache.poll([], [task_id]).failures == {}

    assert task_id in caplog.text


def test_a_later_failure_of_a_task_replaces_the_earlier(cache: Cache, key_prefix: str) -> None:
    task_id = f"{key_prefix}task"
    for nonce in ("first", "second"):
        cache.record_failure(TaskFailure(task_id, V1, nonce, "ValueError", ""))

    assert cache.poll([], [task_id]).failures[task_id].nonce == "second"


def test_a_redis_that_evicts_draws_a_warning(cache: Cache, raw: Raw, capsys: pytest.CaptureFixture[str]) -> None:
    reach_cache(cache)
    assert capsys.readouterr().err == ""
    raw.config_set("maxmemory-policy", "allkeys-lru")
    try:
        reach_cache(cache)
    finally:
        raw.config_set("maxmemory-policy", "noeviction")
    assert "maxmemory-policy 'allkeys-lru'" in capsys.readouterr().err

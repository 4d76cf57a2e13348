"""What a person is shown of a product's key, on every Redis on offer."""

import pytest
from redis.exceptions import NoPermissionError, RedisError

from lastword.cache.cache import Cache, Write
from lastword.cache.held import Held, held_of, read_held, read_started
from lastword.cache.started import started_key
from lastword.contract.errors import CacheUnavailableError
from lastword.contract.record import Update
from lastword.contract.version import Version
from servers.ports import free_port
from tests.redis_forms import Raw, RedisForm

V = Version(1_763_800_000_000_123, 4)
AT = "2025-11-22T08:26:40.000123Z"


def test_a_product_a_tombstone_and_nothing(cache: Cache, key_prefix: str) -> None:
    data = '{"größe": 8.90}'.encode()
    cache.write([Write(Update(entity_id="42", version=V, data=data), "01")])
    cache.write([Write(Update(entity_id="43", version=V, data=None, deleted=True), "")])

    live, gone, absent = (read_held(cache, entity_id) for entity_id in ("42", "43", "44"))

    assert (live.key, live.kind, live.version, live.updated_at) == (f"{key_prefix}42", "hash", V, AT)
    assert (live.token, live.data, live.deleted) == ("01", data, False)
    assert (gone.version, gone.data, gone.deleted) == (V, None, True)
    assert (absent.kind, absent.version, absent.data) == ("none", None, None)


def test_what_is_not_ours_is_told(cache: Cache, raw: Raw, key_prefix: str) -> None:
    raw.rpush(f"{key_prefix}list", "x")
    raw.hset(f"{key_prefix}odd", "version", "9")
    assert read_held(cache, "list").kind == "list"
    odd = read_held(cache, "odd")
    assert (odd.kind, odd.version) == ("hash", None)
    assert "its version ('9' is not a version" in odd.unreadable


def allows(form: RedisForm, command: str, key: str) -> bool:
    """Whether the user may run a command that only a person's look needs; one form's may not."""
    return not isinstance(form.client.run([(command, key)]).answers[0], RedisError)


def test_when_it_expires_is_told_to_whom_redis_lets_ask(
    cache: Cache, redis_form: RedisForm, raw: Raw, key_prefix: str
) -> None:
    raw.hset(f"{key_prefix}42", "version", str(V))
    raw.expire(f"{key_prefix}42", 100)
    held = read_held(cache, "42")
    assert held.version == V
    if allows(redis_form, "PTTL", f"{key_prefix}42"):
        assert held.ttl_s is not None
        assert 40 < held.ttl_s <= 100
        assert not held.unreadable
    else:
        assert held.ttl_s is None
        assert held.unreadable.startswith("when it expires (")


def test_sends_that_have_not_ended(cache: Cache, redis_form: RedisForm, raw: Raw, key_prefix: str) -> None:
    task = f"{key_prefix}:0:1"
    raw.hset(started_key(task), mapping={"a": "host, process 1, then", "b": "host, process 2, then"})
    begun = ("host, process 1, then", "host, process 2, then")
    try:
        assert read_started(cache, task) == (begun if allows(redis_form, "HVALS", started_key(task)) else ())
        assert read_started(cache, f"{task}0") == ()
    finally:
        raw.delete(started_key(task))


def test_a_redis_that_does_not_answer_is_an_error_that_names_it() -> None:
    nobody = f"127.0.0.1:{free_port()}"
    cache = Cache.connect(f"redis://:hunter2@{nobody}/0")
    with pytest.raises(CacheUnavailableError, match=f"Redis at {nobody}: ConnectionError") as raised:
        read_held(cache, "42")
    assert "hunter2" not in str(raised.value)
    assert read_started(cache, "t:0:1") == ()


def test_a_missing_permission_leaves_the_rest_readable() -> None:
    refused = NoPermissionError("User has no permissions to run the 'pttl' command")
    fields = [str(V).encode(), AT.encode(), b"01", None, b"1"]
    assert held_of("k", "hash", fields, refused) == Held(
        "k",
        "hash",
        version=V,
        updated_at=AT,
        token="01",  # noqa: S106 - a lock's
        data=b"1",
        unreadable=f"when it expires ({refused})",
    )

"""What the cache writes, on every Redis on offer: outcomes, fields, times to live, keys it cannot use."""

from collections.abc import Callable

import pytest

from lastword.cache.cache import Cache, Write
from lastword.contract.errors import UnusableKeyError
from lastword.contract.outcome import Outcome
from lastword.contract.record import Update
from lastword.contract.version import VERSION_LIMIT, Version
from tests.redis_forms import Raw, RedisForm

OLDER, NEWER = "00000001000000a9", "000000010000010a"  # ZooKeeper transaction ids
V1, V2, V3 = (Version(1_763_800_000_000_123, sequence) for sequence in (1, 2, 3))


def live(version: Version, data: bytes = b'{"price":1}', *, token: str = OLDER, entity_id: str = "42") -> Write:
    return Write(Update(entity_id=entity_id, version=version, data=data), token)


def tombstone(version: Version, *, token: str = OLDER, entity_id: str = "42") -> Write:
    return Write(Update(entity_id=entity_id, version=version, data=None, deleted=True), token)


@pytest.fixture
def key(key_prefix: str) -> str:
    return f"{key_prefix}42"


def test_a_live_product_has_these_fields_and_no_others(cache: Cache, raw: Raw, key: str) -> None:
    assert cache.write([live(V1, b'{"price":1}')]) == [Outcome.APPLIED]

    assert raw.hgetall(key) == {
        b"version": b"1763800000000123-1",
        b"updated_at": b"2025-11-22T08:26:40.000123Z",
        b"token": OLDER.encode(),
        b"data": b'{"price":1}',
    }
    assert raw.ttl(key) == -1


def test_a_tombstone_has_deleted_and_no_data(cache: Cache, raw: Raw, key: str) -> None:
    data_of_a_tombstone = Write(Update(entity_id="42", version=V2, data=b"ignored", deleted=True), NEWER)

    assert cache.write([live(V1), data_of_a_tombstone]) == [Outcome.APPLIED, Outcome.APPLIED]

    assert raw.hgetall(key) == {
        b"version": b"1763800000000123-2",
        b"updated_at": b"2025-11-22T08:26:40.000123Z",
        b"token": NEWER.encode(),
        b"deleted": b"1",
    }


def test_a_newer_update_after_a_tombstone_is_live_again(cache: Cache, raw: Raw, key: str) -> None:
    cache.write([tombstone(V1), live(V2, b"2")])

    assert raw.hmget(key, "data", "deleted", "version") == [b"2", None, str(V2).encode()]


@pytest.mark.parametrize("late", [live(V1), tombstone(V1), live(V1, token=NEWER)])
@pytest.mark.parametrize("newest", [live(V2, b"2"), tombstone(V2)])
def test_an_older_version_changes_nothing(cache: Cache, raw: Raw, key: str, newest: Write, late: Write) -> None:
    cache.write([newest])
    before = raw.hgetall(key)

    assert cache.write([late]) == [Outcome.STALE]

    assert raw.hgetall(key) == before


@pytest.mark.parametrize("write", [live(V1), tombstone(V1), live(V1, token="")])
def test_the_same_again_is_a_duplicate(cache: Cache, raw: Raw, key: str, write: Write) -> None:
    cache.write([write])
    before = raw.hgetall(key)

    assert cache.write([write]) == [Outcome.DUPLICATE]

    assert raw.hgetall(key) == before


@pytest.mark.parametrize("make", [live, tombstone])
def test_of_duplicates_the_newer_token_is_kept(cache: Cache, raw: Raw, key: str, make: Callable[..., Write]) -> None:
    for token, kept in (("", ""), (OLDER, OLDER), (NEWER, NEWER), (OLDER, NEWER), ("", NEWER)):
        cache.write([make(V1, token=token)])
        assert raw.hget(key, "token") == kept.encode()


@pytest.mark.parametrize(
    ("held", "late", "stays"),
    [
        pytest.param(live(V1, b"1", token=OLDER), live(V1, b"2", token=NEWER), b"2", id="newer token wins"),
        pytest.param(live(V1, b"1", token=NEWER), live(V1, b"2", token=OLDER), b"1", id="newer token stays"),
        pytest.param(live(V1, b"1", token=""), live(V1, b"2", token=OLDER), b"2", id="any token beats none"),
        pytest.param(live(V1, b"1", token=OLDER), live(V1, b"2", token=""), b"1", id="no token beats none"),
        pytest.param(live(V1, b"1", token=OLDER), live(V1, b"2", token=OLDER), b"2", id="same lock: later load wins"),
        pytest.param(live(V1, b"1", token=NEWER), tombstone(V1, token=OLDER), None, id="tombstone beats data"),
        pytest.param(tombstone(V1, token=OLDER), live(V1, b"2", token=NEWER), None, id="tombstone stays"),
    ],
)
def test_a_conflict_has_one_winner(
    *, cache: Cache, raw: Raw, key: str, held: Write, late: Write, stays: bytes | None
) -> None:
    assert cache.write([held, late]) == [Outcome.APPLIED, Outcome.CONFLICT]

    assert raw.hmget(key, "data", "deleted") == [stays, b"1" if stays is None else None]


@pytest.mark.parametrize("write", [live(V1, b"2"), live(V1, b"2", token=""), tombstone(V1)])
def test_a_held_product_without_a_token_loses_a_conflict(cache: Cache, raw: Raw, key: str, write: Write) -> None:
    raw.hset(key, mapping={"version": str(V1), "data": "1"})

    assert cache.write([write]) == [Outcome.CONFLICT]

    assert raw.hget(key, "data") == (None if write.update.deleted else b"2")


@pytest.mark.parametrize(
    ("lower", "higher"),
    [
        (Version(9, 0), Version(10, 0)),
        (Version(5, 9), Version(5, 10)),
        (Version(5, VERSION_LIMIT - 1), Version(6, 0)),
        (Version(5, VERSION_LIMIT - 2), Version(5, VERSION_LIMIT - 1)),
        (Version(VERSION_LIMIT - 2, 7), Version(VERSION_LIMIT - 1, 7)),
        (Version(0, 0), Version(0, 1)),
        (Version(999_999_999_999_999, 0), Version(1_000_000_000_000_000, 0)),
    ],
)
def test_versions_are_compared_as_two_numbers(cache: Cache, lower: Version, higher: Version) -> None:
    assert cache.write([live(lower), live(higher), live(lower)]) == [Outcome.APPLIED, Outcome.APPLIED, Outcome.STALE]
    assert cache.held(["42"]) == {"42": higher}


@pytest.mark.parametrize("version", [Version(VERSION_LIMIT, 0), Version(0, VERSION_LIMIT), Version(-1, 0)])
def test_a_version_that_could_not_be_read_back_is_never_written(
    cache: Cache, raw: Raw, key: str, version: Version
) -> None:
    [answer] = cache.write([live(version)])

    assert isinstance(answer, Exception)
    assert str(version) in str(answer)
    assert not raw.exists(key)


@pytest.mark.parametrize(
    "data",
    [
        b"null",
        b'"\xf0\x9f\xa6\x84 \xd1\x8f"',
        b' {"b" : 1.10,\r\n "b":\t2e400 } ',
        bytes(range(256)),
        b'"' + b"\xc3\xa9\x00" * 350_000 + b'"',
    ],
    ids=["null", "unicode", "spaces", "every byte", "1 MB"],
)
def test_data_is_stored_byte_for_byte(cache: Cache, raw: Raw, key: str, data: bytes) -> None:
    assert cache.write([live(V1, data), live(V1, data)]) == [Outcome.APPLIED, Outcome.DUPLICATE]

    assert raw.hget(key, "data") == data


@pytest.mark.parametrize("entity_id", ["", " ", "a:b", "\r\n", "\x00", "é", "🦄", "x" * 512])
def test_any_entity_id_is_a_key(cache: Cache, raw: Raw, key_prefix: str, entity_id: str) -> None:
    cache.write([live(V1, entity_id=entity_id)])

    assert cache.held([entity_id]) == {entity_id: V1}
    assert raw.exists(key_prefix + entity_id)


def test_many_products_in_one_call_are_answered_in_order(cache: Cache) -> None:
    writes = [live(V2, entity_id=str(n)) for n in range(1_000)]
    assert cache.write(writes) == [Outcome.APPLIED] * 1_000

    mixed = [live(V1 if n % 3 else V3, entity_id=str(n)) for n in range(1_000)]

    assert cache.write(mixed) == [Outcome.STALE if n % 3 else Outcome.APPLIED for n in range(1_000)]


def test_nothing_to_write_asks_nobody() -> None:
    assert Cache.connect("redis://127.0.0.1:1").write([]) == []


def test_a_notice_is_refused_before_anything_is_written(cache: Cache) -> None:
    notice = Write(Update(entity_id="7", version=V1, data=None), OLDER)

    with pytest.raises(ValueError, match=r"'7'.*notice"):
        cache.write([live(V1), notice])

    assert cache.held(["42", "7"]) == {}


def test_without_a_time_to_live_a_write_takes_an_old_one_away(
    redis_form: RedisForm, key_prefix: str, raw: Raw, key: str, cache: Cache
) -> None:
    expiring = Cache.connect(redis_form.url, key_prefix=key_prefix, ttl_s=1_000, tombstone_ttl_s=50)

    expiring.write([live(V1)])
    assert 900 < raw.ttl(key) <= 1_000
    expiring.write([tombstone(V2)])
    assert 0 < raw.ttl(key) <= 50
    expiring.write([live(V1), tombstone(V2)])
    assert 0 < raw.ttl(key) <= 50, "stale and duplicate leave it alone"
    cache.write([live(V3)])
    assert raw.ttl(key) == -1
    expiring.close()


@pytest.mark.parametrize("ttl_s", [0, -1, 10**15])
def test_a_time_to_live_that_redis_would_refuse_or_delete_by(ttl_s: int) -> None:
    with pytest.raises(ValueError, match=f"tombstone_ttl_s is {ttl_s}; allowed are 1 to"):
        Cache.connect("redis://127.0.0.1", tombstone_ttl_s=ttl_s)


def test_a_key_of_another_type_is_named_and_left_alone(cache: Cache, raw: Raw, key_prefix: str) -> None:
    raw.set(f"{key_prefix}text", "hello")
    raw.rpush(f"{key_prefix}row", "a")
    raw.hset(f"{key_prefix}odd", "version", "12")
    names = ["1", "text", "2", "row", "odd", "3"]

    answers = cache.write([live(V1, entity_id=name) for name in names])

    assert [answer for answer in answers if isinstance(answer, Outcome)] == [Outcome.APPLIED] * 3
    for index, name, found in ((1, "text", "a string"), (3, "row", "a list"), (4, "odd", "version is b'12'")):
        assert isinstance(answers[index], UnusableKeyError)
        assert f"'{key_prefix}{name}'" in str(answers[index])
        assert found in str(answers[index])
    assert raw.get(f"{key_prefix}text") == b"hello"
    assert raw.hgetall(f"{key_prefix}odd") == {b"version": b"12"}


@pytest.mark.parametrize("write", [live(V1, b"new"), tombstone(V1)])
def test_a_hash_without_a_version_counts_as_absent_and_its_content_is_replaced(
    cache: Cache, raw: Raw, key: str, write: Write
) -> None:
    raw.hset(key, mapping={"data": "left over", "deleted": "1", "token": NEWER})
    assert cache.held(["42"]) == {}

    assert cache.write([write]) == [Outcome.APPLIED]

    assert raw.hmget(key, "data", "deleted") == ([None, b"1"] if write.update.deleted else [b"new", None])
    assert raw.hget(key, "token") == OLDER.encode()

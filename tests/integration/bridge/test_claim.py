"""The note in Redis of whose the keys are, left by bridges and read by workers."""

import pytest
import redis

from bridge.claim import KEEP_EVERY_S, Claim
from lastword.cache.cache import Cache
from lastword.cache.flow_note import note_key, read_note
from lastword.contract.errors import CacheUnavailableError
from lastword.contract.flow import Destination
from lastword.settings.shared import SettingsError
from servers import ReachableRedis
from tasks.broker.strays import Strays


@pytest.fixture
def to(key_prefix: str) -> Destination:
    return Destination("orders", key_prefix)


def strays_of(cache: Cache, to: Destination) -> Strays:
    def name_of_cache() -> str:
        note = read_note(cache, to.key_prefix)
        return note.cache if note else ""

    return Strays(to, name_of_cache)


def test_the_first_names_the_cache_and_the_others_learn_its_name(cache: Cache, to: Destination) -> None:
    first, second = Claim(cache, to, "orders", "blue"), Claim(cache, to, "orders", "green")
    first.take()
    second.take()
    assert first.destination == second.destination
    assert first.destination.cache
    assert strays_of(cache, to).reason(second.destination) == ""


def test_a_note_that_was_deleted_is_left_again_with_the_name_it_had(
    cache: Cache, to: Destination, raw: redis.Redis
) -> None:
    claim = Claim(cache, to, "orders", "blue")
    claim.take()
    before = raw.get(note_key(to.key_prefix))
    raw.delete(note_key(to.key_prefix))
    claim.keep(0.0)
    assert not raw.exists(note_key(to.key_prefix)), "it was looked at just now"
    claim.keep(1e12 + KEEP_EVERY_S)
    assert raw.get(note_key(to.key_prefix)) == before


def test_another_topic_is_refused_also_later_on(cache: Cache, to: Destination, raw: redis.Redis) -> None:
    claim = Claim(cache, to, "orders", "blue")
    claim.take()
    with pytest.raises(
        SettingsError, match=r"given 'stock' and .* from topic 'orders' \(flow 'orders', consumer group"
    ):
        Claim(cache, to, "stock", "blue").take()
    raw.delete(note_key(to.key_prefix))
    Claim(cache, to, "stock", "blue").take()
    with pytest.raises(SettingsError, match="from topic 'stock'"):
        claim.keep(1e12)


def test_a_key_that_holds_something_else_is_named(cache: Cache, to: Destination, raw: redis.Redis) -> None:
    raw.set(note_key(to.key_prefix), "by hand")
    with pytest.raises(SettingsError, match=r"LASTWORD_KEY_PREFIX: given .* is no note of a bridge: .*\. Delete it"):
        Claim(cache, to, "orders", "blue").take()
    assert strays_of(cache, to).reason(Destination(to.flow, to.key_prefix, "c1")) == "", "nobody knows"


def test_a_redis_that_takes_nothing_is_still_read(cache_server: ReachableRedis, to: Destination) -> None:
    with redis.Redis.from_url(cache_server.url()) as raw:
        cache = Cache.connect(cache_server.url(), key_prefix=to.key_prefix)
        raw.config_set("min-replicas-to-write", 1)
        try:
            with pytest.raises(CacheUnavailableError, match="good replicas"):
                Claim(cache, to, "orders", "blue").take()
            raw.config_set("min-replicas-to-write", 0)
            Claim(cache, to, "orders", "blue").take()
            raw.config_set("min-replicas-to-write", 1)
            Claim(cache, to, "orders", "blue").take()
        finally:
            raw.config_set("min-replicas-to-write", 0)
            cache.close()


def test_a_worker_believes_a_new_name_at_once_and_no_old_one(cache: Cache, to: Destination, raw: redis.Redis) -> None:
    strays, before, after = strays_of(cache, to), Claim(cache, to, "orders", "a"), Claim(cache, to, "orders", "b")
    before.take()
    assert strays.reason(before.destination) == ""
    raw.delete(note_key(to.key_prefix))
    after.take()
    assert strays.reason(after.destination) == ""
    assert "is another one than this worker's" in strays.reason(before.destination)
    assert strays.reason(after.destination) == ""


def test_a_worker_on_a_cache_without_a_note_drops_and_one_whose_cache_is_away_does_not(
    cache: Cache, to: Destination
) -> None:
    sent = Destination(to.flow, to.key_prefix, "c1")
    assert "not one that a bridge has been to" in strays_of(cache, to).reason(sent)
    away = Cache.connect("redis://127.0.0.1:1/0", key_prefix=to.key_prefix)
    assert strays_of(away, to).reason(sent) == "", "it will be told by the write"
    assert strays_of(cache, to).reason(None) == "", "a task of an older release"
    assert strays_of(cache, to).reason(to) == "", "sent by one that does not know its cache"

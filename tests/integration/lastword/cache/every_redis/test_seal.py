"""The seal under a look, on every Redis on offer: what it notes, and when it says that something is lost."""

from collections.abc import Iterator

import pytest
import redis

from lastword.cache.cache import Cache
from lastword.cache.seal import Seal, Stamps
from lastword.contract.errors import CacheUnavailableError
from tests.redis_forms import Raw, RedisForm

NAME = "topic:0:group"


@pytest.fixture
def stamps(key_prefix: str) -> Stamps:
    return Stamps(key_prefix)


def opened(cache: Cache, stamps: Stamps, *, anew: bool = True) -> Seal:
    seal = stamps.opening([NAME], anew=anew)
    cache.poll([], [], seal=seal)
    if not seal.lost:
        seal.adopt()
    return seal


def sealed(cache: Cache, stamps: Stamps, marker: str | None = None, *, begin: bool = False) -> Seal:
    seal = stamps.seal({NAME: marker} if marker else {}, begin=begin)
    cache.poll(["42"], [], seal=seal)
    return seal


def own_keys(raw: Raw, stamps: Stamps) -> Iterator[bytes]:
    yield from raw.scan_iter(match=f"lastword:stamp:*{stamps.bridge}")
    yield from raw.scan_iter(match=f"lastword:marker:*{stamps.key_prefix}")


def primaries(form: RedisForm) -> int:
    return len(form.infos("server"))


def test_markers_are_noted_on_every_primary_and_read_back(redis_form: RedisForm, cache: Cache, stamps: Stamps) -> None:
    first = opened(cache, stamps)
    assert (first.lost, first.complete) == ("", True)
    tags = 1 if primaries(redis_form) == 1 else 16
    assert first.held == [{NAME: None}] * tags

    assert sealed(cache, stamps, "7 one").complete

    again = opened(cache, stamps, anew=False)
    assert (again.lost, again.held) == ("", [{NAME: b"7 one"}] * tags)


def test_markers_of_thousands_of_partitions_are_noted_at_once(cache: Cache, stamps: Stamps) -> None:
    opened(cache, stamps)
    seal = stamps.seal({f"topic:{number}:group": "7 one" for number in range(4_500)})
    cache.poll([], [], seal=seal)
    assert (seal.lost, seal.complete) == ("", True)


def test_the_stamp_of_a_bridge_that_is_gone_expires(raw: Raw, cache: Cache, stamps: Stamps) -> None:
    opened(cache, stamps)
    sealed(cache, stamps, "7 one")
    for key in own_keys(raw, stamps):
        assert (86_300 < raw.ttl(key) <= 86_400) if key.startswith(b"lastword:stamp:") else raw.ttl(key) == -1


def test_one_primary_without_the_last_stamp_is_a_loss_and_nothing_is_written_there(
    raw: Raw, cache: Cache, stamps: Stamps
) -> None:
    opened(cache, stamps)
    sealed(cache, stamps, "7 one")
    key = next(key for key in own_keys(raw, stamps) if key.startswith(b"lastword:stamp:"))
    raw.delete(key)

    for _ in range(2):
        assert sealed(cache, stamps, "8 one").lost == "it has lost writes"
    assert raw.exists(key) == 0

    assert opened(cache, stamps).lost == ""
    assert sealed(cache, stamps, "9 one").complete


def test_an_older_stamp_is_a_loss_a_newer_one_is_not(raw: Raw, cache: Cache, stamps: Stamps) -> None:
    opened(cache, stamps)
    keys = [key for key in own_keys(raw, stamps) if key.startswith(b"lastword:stamp:")]
    before = {key: raw.get(key) for key in keys}
    sealed(cache, stamps)
    unanswered = stamps.seal()
    for key in keys:  # the answer to a stamp can be lost, and the stamp is there
        raw.set(key, max(unanswered._stamps.stamped.values()) + 5)
    assert not sealed(cache, stamps).lost
    for key, value in before.items():
        raw.set(key, str(value, "ascii") if isinstance(value, bytes) else 0)
    assert sealed(cache, stamps).lost


def test_a_seal_that_comes_late_undoes_nothing(raw: Raw, cache: Cache, stamps: Stamps) -> None:
    """Redis may run what nobody waits for any more after what was sent later on another connection."""
    opened(cache, stamps)
    late = [stamps.seal({NAME: "7 one"}).commands([tag])[-1] for tag in stamps.stamped]
    assert sealed(cache, stamps, "8 one").complete
    for command in late:
        raw.execute_command(*command)  # type: ignore[no-untyped-call]

    assert sealed(cache, stamps).lost == ""
    assert {held[NAME] for held in opened(cache, stamps, anew=False).held} == {b"8 one"}


def test_who_does_not_know_that_a_partition_is_anothers_notes_nothing_over_what_that_one_notes(
    cache: Cache, key_prefix: str
) -> None:
    def held() -> set[bytes | None]:
        return {found[NAME] for found in opened(cache, Stamps(key_prefix)).held}

    late, owner = Stamps(key_prefix), Stamps(key_prefix)
    for stamps in (late, owner):
        opened(cache, stamps)
    assert sealed(cache, late, "0 one", begin=True).complete
    assert sealed(cache, late, "7 one").complete
    assert held() == {b"7 one"}
    for behind in ("6 one", "9 other"):
        assert sealed(cache, owner, behind).complete
        assert held() == {b"7 one"}
    assert sealed(cache, owner, "0 other", begin=True).complete
    assert sealed(cache, late, "8 one").complete
    assert held() == {b"0 other"}
    assert sealed(cache, owner, "8 other").complete
    assert held() == {b"8 other"}


def test_two_bridges_do_not_hide_a_loss_from_each_other(raw: Raw, cache: Cache, key_prefix: str) -> None:
    first, second = Stamps(key_prefix), Stamps(key_prefix)
    for stamps in (first, second):
        opened(cache, stamps)
        assert sealed(cache, stamps, f"7 {stamps.bridge}").complete
    for key in [*own_keys(raw, first), *own_keys(raw, second)]:
        raw.delete(key)

    assert sealed(cache, first).lost
    opened(cache, first)
    assert sealed(cache, first, "1 new").complete
    assert sealed(cache, second).lost


def test_a_flush_of_the_scripts_costs_one_look_and_loses_nothing(raw: Raw, cache: Cache, stamps: Stamps) -> None:
    opened(cache, stamps)
    everywhere = {"target_nodes": redis.RedisCluster.PRIMARIES} if isinstance(raw, redis.RedisCluster) else {}
    raw.execute_command("SCRIPT FLUSH", **everywhere)  # type: ignore[no-untyped-call]

    with pytest.raises(CacheUnavailableError, match="NoScriptError"):
        sealed(cache, stamps)
    assert (sealed(cache, stamps).lost, sealed(cache, stamps, "7 one").complete) == ("", True)


def test_a_key_of_the_seal_that_holds_something_else_is_said(raw: Raw, cache: Cache, stamps: Stamps) -> None:
    opened(cache, stamps)
    keys = [key for key in own_keys(raw, stamps) if key.startswith(b"lastword:stamp:")]
    for key in keys:
        marker = key.replace(b"stamp:", b"marker:").replace(stamps.bridge.encode(), stamps.key_prefix.encode())
        raw.set(marker, "somebody else's")
    with pytest.raises(CacheUnavailableError, match="WRONGTYPE"):
        opened(cache, stamps)
    sealed(cache, stamps)
    with pytest.raises(CacheUnavailableError, match="WRONGTYPE"):
        cache.poll([], [], seal=stamps.seal({NAME: "7 one"}))


def test_without_replicas_a_seal_that_waits_for_one_is_refused(cache: Cache, key_prefix: str) -> None:
    stamps = Stamps(key_prefix, replicas=2, wait_s=0.05)
    seal = stamps.opening([NAME], anew=True)
    with pytest.raises(CacheUnavailableError, match="LASTWORD_WAIT_REPLICAS wants 2"):
        cache.poll([], [], seal=seal)
    assert not seal.complete

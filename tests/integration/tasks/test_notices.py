"""Notices on real servers: rows of a real database, loaded under the lock, by one call for many, and none for long."""

from pathlib import Path

import pytest
import redis

from lastword.cache.cache import Cache
from lastword.contract.errors import (
    LoaderFailedError,
    LoaderSlowError,
    LoaderUnavailableError,
    NoLoaderError,
    RowBehindError,
    UnusableRowError,
)
from lastword.contract.outcome import Outcome
from lastword.contract.record import Update
from lastword.contract.version import Version
from servers import Reachable, Redis
from tasks.lock.locks import Locks
from tasks.notices.loader import Loader
from tasks.notices.notices import Notices
from tasks.refresh import refresh
from tests.driven_groups import Driven, live
from tests.lock_helpers import open_locks
from tests.rows import Rows
from tests.waiting import wait_until

pytestmark = pytest.mark.core

T_US = 1_763_800_000_000_000


def notice(entity_id: str, sequence: int = 1, *, at_us: int = T_US, numbered: bool = True) -> Update:
    return Update(entity_id=entity_id, version=Version(at_us, sequence), data=None, numbered=numbered)


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    return Rows(tmp_path / "rows.db")


@pytest.fixture
def redis_server(own_redis: Redis) -> Redis:
    """Our own: its commands are counted."""
    return own_redis


@pytest.fixture
def driven(cache: Cache, locks: Locks, raw: redis.Redis, rows: Rows) -> Driven:
    return Driven(cache, locks, raw, Loader(rows.load, timeout_s=0.5))


def test_the_row_is_written_at_its_own_version(
    *, rows: Rows, cache: Cache, locks: Locks, raw: redis.Redis, key_prefix: str
) -> None:
    rows.put("a", T_US + 5, 3, {"price": 5})
    notices = Notices(Loader(rows.load, timeout_s=5))
    assert refresh([notice("a")], cache, locks, notices) == [Outcome.APPLIED]
    assert cache.held(["a"]) == {"a": Version(T_US + 5, 3)}
    assert raw.hget(f"{key_prefix}a", "data") == b'{"price": 5}'
    assert refresh([notice("a")], cache, locks, notices) == [Outcome.STALE]
    assert rows.calls() == [["a"]], "what is overtaken is not loaded for"


def test_a_notice_of_the_version_that_is_held_is_loaded_for_again(
    *, rows: Rows, cache: Cache, locks: Locks, raw: redis.Redis, key_prefix: str
) -> None:
    notices = Notices(Loader(rows.load, timeout_s=5))
    rows.put("a", T_US, 1, "first")
    assert refresh([notice("a")], cache, locks, notices) == [Outcome.APPLIED]
    assert refresh([notice("a")], cache, locks, notices) == [Outcome.DUPLICATE]
    rows.put("a", T_US, 1, "second")
    assert refresh([notice("a")], cache, locks, notices) == [Outcome.CONFLICT]
    assert raw.hget(f"{key_prefix}a", "data") == b'"second"'


def test_in_a_group_each_product_is_loaded_once_by_one_call(rows: Rows, driven: Driven, cache: Cache) -> None:
    products = [f"p{number}" for number in range(100)]
    for product in products:
        rows.put(product, T_US, 4, product)
    answers = driven.carry([notice(product, sequence) for product in products for sequence in (2, 4, 3)])
    assert set(answers) == {Outcome.APPLIED, Outcome.DUPLICATE}
    assert answers.count(Outcome.APPLIED) == len(products)
    assert rows.calls() == [products]
    assert cache.held(products) == dict.fromkeys(products, Version(T_US, 4))


def test_notices_and_full_states_of_one_product_end_at_the_newest(rows: Rows, driven: Driven, cache: Cache) -> None:
    rows.put("old", T_US, 3, "row")
    rows.put("new", T_US, 9, "row")
    driven.carry([notice("old", 3), live("old", 5), live("new", 5), notice("new", 9), notice("new", 2)])
    assert cache.held(["old", "new"]) == {"old": Version(T_US, 5), "new": Version(T_US, 9)}


def test_a_slow_loader_keeps_no_full_state_waiting(rows: Rows, driven: Driven, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.touch()
    rows.put("slow", T_US, 1, 1, fault=f"wait {closed}")
    began = driven.begin([notice("slow")])
    driven.advance_until(lambda: len(rows.calls()) == 1)
    for sequence in range(1, 4):
        assert driven.carry([live("other", sequence)]) == [Outcome.APPLIED]
    assert began == {}, "it was not waited for"
    driven.advance_until(lambda: len(began) == 1)
    assert isinstance(began[0], LoaderSlowError)
    closed.unlink()
    assert driven.carry([notice("slow")]) == [Outcome.APPLIED]


def test_the_lock_is_held_while_it_is_loaded_and_given_back_when_all_is_dropped(
    *, rows: Rows, driven: Driven, zookeeper_server: Reachable, zookeeper_root: str, tmp_path: Path
) -> None:
    closed = tmp_path / "closed"
    closed.touch()
    rows.put("slow", T_US, 1, 1, fault=f"wait {closed}")
    driven.begin([notice("slow")])
    driven.advance_until(lambda: len(rows.calls()) == 1)
    with open_locks(zookeeper_server.address, zookeeper_root) as others:

        def is_free() -> bool:
            with others.acquire({"slow": Version(T_US, 1)}) as grant:
                return not grant.busy

        assert not is_free()
        driven.groups.forget()
        wait_until(is_free, what="the lock")
    closed.unlink()


def test_each_failure_is_that_of_one_product(rows: Rows, driven: Driven, cache: Cache) -> None:
    for product in ("a", "b", "bad", "wrong"):
        rows.put(product, T_US, 1, product)
    rows.put("bad", T_US, 1, 1, fault="raise no such price")
    rows.put("behind", T_US - 1, 9, 1)
    answers = driven.carry(
        [
            notice("a"),
            notice("bad"),
            notice("missing"),
            notice("behind"),
            notice("wrong", 7, numbered=False),
            notice("b"),
        ]
    )
    kinds = [Outcome, LoaderFailedError, RowBehindError, RowBehindError, UnusableRowError, Outcome]
    assert [type(answer) for answer in answers] == kinds
    assert set(cache.held(["a", "b", "bad", "missing", "behind", "wrong"])) == {"a", "b"}


def test_a_database_that_is_away_is_asked_once_for_all(rows: Rows, driven: Driven) -> None:
    rows.put("a", T_US, 1, 1, fault="offline no route")
    rows.put("b", T_US, 1, 1)
    answers = driven.carry([notice("a"), notice("b")])
    assert [type(answer) for answer in answers] == [LoaderUnavailableError, LoaderUnavailableError]
    assert len(rows.calls()) == 1


def test_what_is_behind_for_too_long_is_deleted_or_an_error(rows: Rows, cache: Cache, locks: Locks) -> None:
    rows.put("behind", T_US - 1, 9, 1)
    notices = Notices(Loader(rows.load, timeout_s=5), overdue=[0, 1])
    answers = refresh([notice("missing"), notice("behind"), notice("also missing")], cache, locks, notices)
    assert answers[0] is Outcome.APPLIED
    assert f"{T_US}-1" in str(answers[1])
    assert isinstance(answers[2], RowBehindError), "this one is not overdue"
    assert cache.held(["missing", "behind", "also missing"]) == {"missing": Version(T_US, 1)}


def test_without_a_loader_another_worker_may_have_one(cache: Cache, locks: Locks) -> None:
    [answer] = refresh([notice("a")], cache, locks)
    assert isinstance(answer, NoLoaderError)

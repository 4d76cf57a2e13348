"""Products whose changes lie in several partitions: nothing is decided by their offsets, and what there is is loaded.

Source: docs/decisions/0026-ids-that-change.md
"""

import json
import random
from itertools import permutations
from pathlib import Path

import msgspec
import pytest
import redis

from lastword.cache.cache import Cache, TaskFailure, Write
from lastword.cache.failures import LOADED
from lastword.cache.started import Started
from lastword.contract.errors import ApartError, NoLoaderError, RowBehindError
from lastword.contract.outcome import Outcome
from lastword.contract.record import Update
from lastword.contract.task import Arguments
from lastword.contract.version import APART, POSITIONS_FROM, Version
from lastword.settings.shared import TaskSettings, load
from tasks.celery_app import tell_loaded
from tasks.lock.locks import Locks
from tasks.notices.loader import Loader
from tasks.notices.notices import Notices
from tasks.refresh import Answer, refresh
from tasks.resources import Resources
from tests.driven_groups import Driven
from tests.rows import Rows

T_US = 1_763_800_000_000_000


def plain(offset: int, data: object = "plain", *, entity_id: str = "1", generation: int = 0) -> Update:
    version = Version.at(offset, generation)
    return Update(entity_id=entity_id, version=version, data=json.dumps(data).encode(), time_us=T_US)


def gone(offset: int) -> Update:
    return Update(entity_id="1", version=Version.at(offset, 0), data=None, deleted=True, time_us=T_US)


def moved(offset: int, *, deleted: bool = False, entity_id: str = "1") -> Update:
    version = Version.at((APART, offset), 0)
    return Update(entity_id=entity_id, version=version, data=None, deleted=deleted, time_us=T_US)


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    return Rows(tmp_path / "rows.db")


class Site:
    """What becomes of updates; the database's rows are the last word."""

    def __init__(self, cache: Cache, locks: Locks, raw: redis.Redis, rows: Rows, key_prefix: str) -> None:
        self.cache, self.locks, self.rows = cache, locks, rows
        self._raw, self._prefix = raw, key_prefix
        self.notices = Notices(Loader(rows.load, timeout_s=5))

    def apply(self, *updates: Update) -> list[Answer]:
        return refresh(updates, self.cache, self.locks, self.notices)

    @property
    def held(self) -> object:
        data, deleted = self._raw.hmget(f"{self._prefix}1", "data", "deleted")
        return None if deleted else data and json.loads(data)

    def forget(self) -> None:
        self._raw.delete(f"{self._prefix}1")

    def version(self) -> Version:
        return self.cache.held(["1"])["1"]


@pytest.fixture
def site(cache: Cache, locks: Locks, raw: redis.Redis, rows: Rows, key_prefix: str) -> Site:
    return Site(cache, locks, raw, rows, key_prefix)


@pytest.mark.core
def test_a_row_that_left_is_gone_though_its_other_partition_has_a_greater_offset(site: Site) -> None:
    assert site.apply(plain(10)) == [Outcome.APPLIED]
    assert site.apply(moved(0, deleted=True)) == [Outcome.LOADED]
    assert site.held is None
    assert site.apply(plain(10)) == [RowBehind()], "an older one, and whatever comes, is loaded"
    assert site.held is None
    site.rows.put("1", T_US, None, "made anew")
    assert site.apply(plain(3)) == [Outcome.LOADED], "in a partition where offsets are lower still"
    assert site.held == "made anew"


class RowBehind:
    """Equals an answer that waits for a row."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RowBehindError)

    __hash__ = None  # type: ignore[assignment]


def test_in_any_order_the_last_word_is_the_databases(site: Site) -> None:
    site.rows.put("1", T_US, None, "the row")
    for order in permutations([plain(10), gone(11), moved(0), moved(4, deleted=True), plain(2)]):
        site.forget()
        for update in order:
            site.apply(update)
        assert site.held == "the row", order


def test_each_load_is_above_the_one_before(site: Site) -> None:
    seen = []
    for number in range(5):
        site.rows.put("1", T_US, None, number)
        assert site.apply(random.choice([moved(number), plain(number)]) if number else moved(7)) == [Outcome.LOADED]
        assert site.held == number
        seen.append(site.version())
    assert seen == sorted(set(seen))
    assert all(version.is_apart and not version.asks for version in seen)


def test_a_new_generation_is_above_what_is_apart(site: Site) -> None:
    site.rows.put("1", T_US, None, "the row")
    assert site.apply(moved(5)) == [Outcome.LOADED]
    assert site.apply(plain(0, "anew", generation=1)) == [Outcome.APPLIED]
    assert site.held == "anew"
    assert site.apply(moved(9)) == [Outcome.STALE]
    assert site.apply(plain(99)) == [Outcome.STALE]


def test_the_script_itself_says_so_where_nobody_looked_before(site: Site) -> None:
    site.rows.put("1", T_US, None, "the row")
    site.apply(moved(5))
    [answer] = site.cache.write([Write(plain(10**9), "f" * 16)])
    assert isinstance(answer, ApartError)
    [time] = site.cache.write([Write(msgspec.structs.replace(plain(1), version=Version(T_US, 1)), "f" * 16)])
    assert time is Outcome.STALE, "one by time is older than any position"


@pytest.mark.parametrize("read_first", [True, False])
def test_among_others_in_a_group(
    *, read_first: bool, rows: Rows, cache: Cache, locks: Locks, raw: redis.Redis, key_prefix: str
) -> None:
    driven = Driven(cache, locks, raw, Loader(rows.load, timeout_s=2))
    rows.put("1", T_US, None, "the row")
    assert driven.carry([moved(5)]) == [Outcome.LOADED]
    if read_first:
        driven.carry([plain(0, entity_id="p0")] * 600)
    others = [plain(number, entity_id=f"p{number}") for number in range(1, 40)]
    rows.put("1", T_US, None, "another")
    answers = driven.carry([*others, plain(6), plain(2), *others])
    assert answers[39:41] == [Outcome.LOADED, Outcome.LOADED]
    assert set(answers[:39]) == {Outcome.APPLIED}
    assert json.loads(raw.hget(f"{key_prefix}1", "data")) == "another"  # type: ignore[arg-type]
    assert len(rows.calls()) == 2


def test_without_a_loader_only_what_is_apart_waits(cache: Cache, locks: Locks, rows: Rows) -> None:
    rows.put("1", T_US, None, "the row")
    refresh([moved(5)], cache, locks, Notices(Loader(rows.load, timeout_s=5)))
    failed, applied = refresh([plain(6), plain(1, entity_id="2")], cache, locks)
    assert isinstance(failed, NoLoaderError)
    assert applied is Outcome.APPLIED


def test_whoever_has_lost_the_lock_does_not_win_with_an_older_load() -> None:
    asks = Version.at((APART, 3), 2)
    held = asks.loaded(None, "00000000000000aa")
    early, late = asks.loaded(held, "00000000000000ab"), asks.loaded(held, "00000000000000ac")
    assert held < early < late < asks.loaded(late, "0000000000000001")
    assert early.updated_at_us == late.updated_at_us
    assert late.generation == 2
    assert late.updated_at_us < POSITIONS_FROM + 3 * 2**48


def test_what_tells_nothing_of_what() -> None:
    home, asks = Version.at(7, 1), Version.at((APART, 0), 1)
    loaded = asks.loaded(None, "0000000000000001")
    for one, other in permutations([home, asks, loaded], 2):
        assert one.tells_nothing_of(other)
        assert not one.covers(other)
    for other in (Version.at(9, 0), Version(T_US, 3), Version.at((APART, 9), 0)):
        assert loaded.covers(other)
        assert not other.covers(loaded)
    assert home.covers(Version.at(7, 1))
    assert not home.covers(Version.at(8, 1))


def test_a_repetition_tells_the_bridge_where_it_looks(cache: Cache, locks: Locks) -> None:
    here = Resources(load(TaskSettings), cache, locks, Started(cache.ask))
    arguments = Arguments(update=moved(5), nonce="n2", first_sent=1.0, not_after=2.0)
    for outcome in (Outcome.APPLIED, Outcome.LOADED):
        tell_loaded("t:1:5@2-n2", arguments, here, outcome)
        found = cache.poll([], ["t:1:5"]).failures
        assert bool(found) == (outcome is Outcome.LOADED)
    assert found["t:1:5"] == TaskFailure("t:1:5", moved(5).version, "n2", LOADED, "")

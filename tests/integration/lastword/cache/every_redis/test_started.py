"""Marks of what has begun, on every Redis on offer: there while an update runs, gone at its end, seen by a look."""

from collections.abc import Sequence

import pytest

from lastword.cache.cache import Cache
from lastword.cache.started import Started, started_key
from lastword.contract.errors import CacheUnavailableError
from lastword.redis.pipeline import Command
from tests.redis_forms import Raw


class Line:
    """The way to Redis, which may be cut: before a command arrives, or before its answer does."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self.arrives = self.answers = True

    def ask(self, commands: Sequence[Command]) -> None:
        if self.arrives:
            self._cache.ask(commands)
        if not self.answers:
            raise CacheUnavailableError("cut")


@pytest.fixture
def line(cache: Cache) -> Line:
    return Line(cache)


@pytest.fixture
def started(line: Line) -> Started:
    return Started(line.ask)


def begun(cache: Cache, task_id: str, *nonces: str) -> list[str]:
    return list(cache.poll([], [], {task_id: nonces}).started.get(task_id, {}))


def test_a_mark_is_seen_while_the_update_runs_and_gone_afterwards(
    cache: Cache, raw: Raw, key_prefix: str, started: Started
) -> None:
    task_id = f"{key_prefix}task"
    with started.marked(task_id, "n2"):
        look = cache.poll(["42"], [task_id], {task_id: ["n1", "n2"], f"{key_prefix}other": ["n1"]})
        assert 86_300 < int(raw.ttl(started_key(task_id))) <= 86_400
    assert (look.versions, look.failures, list(look.started)) == ({}, {}, [task_id])
    assert list(look.started[task_id]) == ["n2"]
    assert ", process " in look.started[task_id]["n2"]
    assert not raw.exists(started_key(task_id))


def test_each_start_is_told_from_the_one_before(cache: Cache, key_prefix: str, started: Started) -> None:
    task_id = f"{key_prefix}task"
    who = set()
    for _ in range(3):
        with started.marked(task_id, "n2"):
            who.add(cache.poll([], [], {task_id: ["n2"]}).started[task_id]["n2"])
    assert len(who) == 3


def test_an_end_by_an_exception_takes_this_mark_away_and_no_other(
    cache: Cache, raw: Raw, key_prefix: str, started: Started
) -> None:
    task_id = f"{key_prefix}task"
    raw.hset(started_key(task_id), "n1", "killed")
    with pytest.raises(ZeroDivisionError), started.marked(task_id, "n2"):
        raise ZeroDivisionError
    assert begun(cache, task_id, "n1", "n2") == ["n1"]


def test_without_its_mark_nothing_is_run(key_prefix: str, line: Line, started: Started) -> None:
    line.arrives = line.answers = False
    ran = []
    with pytest.raises(CacheUnavailableError), started.marked(f"{key_prefix}task", "n2"):
        ran.append(1)
    assert not ran


def test_a_mark_that_was_set_though_nobody_answered_goes_with_the_next_one(
    cache: Cache, key_prefix: str, line: Line, started: Started
) -> None:
    task_id = f"{key_prefix}task"
    line.answers = False
    with pytest.raises(CacheUnavailableError), started.marked(task_id, "n2"):
        pass
    assert begun(cache, task_id, "n2") == ["n2"]
    line.answers = True
    with started.marked(f"{key_prefix}other", "n2"):
        pass
    assert begun(cache, task_id, "n2") == []


def test_a_mark_that_could_not_be_taken_away_goes_with_the_next_one(
    cache: Cache, key_prefix: str, line: Line, started: Started
) -> None:
    task_id = f"{key_prefix}task"
    with started.marked(task_id, "n2"):
        line.arrives = line.answers = False
    assert begun(cache, task_id, "n2") == ["n2"]
    line.arrives = line.answers = True
    with started.marked(f"{key_prefix}other", "n2"):
        pass
    assert begun(cache, task_id, "n2") == []


def test_a_key_that_is_no_hash_of_marks_is_none(cache: Cache, raw: Raw, key_prefix: str, started: Started) -> None:
    task_id = f"{key_prefix}task"
    raw.set(started_key(task_id), "somebody else's")
    assert cache.poll([], [], {task_id: ["n2"]}).missed is None
    assert begun(cache, task_id, "n2") == []
    with pytest.raises(CacheUnavailableError, match="WRONGTYPE"), started.marked(task_id, "n2"):
        pass

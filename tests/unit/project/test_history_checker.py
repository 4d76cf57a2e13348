"""The checker by histories made by hand: a good one, and others that differ from it so that one rule is broken."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from lastword.contract.version import Version
from tasks.lock.path import lock_path
from tests.history.checker import check
from tests.history.events import Attempt, Commit, DataSet, DeadLetter, End, Held, History, Interval, Published, Written
from tests.history.report import Rule

ROOT = "/root"
S1, S2 = 0x100, 0x200
OLD, MIDDLE, NEW = Version(1_000, 0), Version(1_000, 1), Version(2_000, 0)
S = 1_000_000  # microseconds


def token(zxid: int) -> str:
    return f"{zxid:016x}"


def interval(product: str, session: int, begin: int, end: int | None, how: End = End.RELEASED) -> Interval:
    return Interval(lock_path(ROOT, product), session, begin, end, how)


def attempt(product: str, version: Version, zxid: int, session: int, answer: str | None = "applied") -> Attempt:
    return Attempt(product, version, token(zxid), session, pid=session, at_us=0, answer=answer, answered_us=50 * S)


def applied(version: Version, zxid: int, at_s: float) -> Written:
    return Written(version, token(zxid), "applied", Held(version, deleted=False, token=token(zxid)), int(at_s * S))


def passed(write: Written, version: Version, zxid: int, outcome: str, at_s: float) -> Written:
    """A write that came after another and left what that had written."""
    return Written(version, token(zxid), outcome, write.held, int(at_s * S))


A_OLD, A_NEW, B_NEW = applied(OLD, 1, 1), applied(NEW, 5, 3), applied(NEW, 7, 2)

GOOD = History(
    root=ROOT,
    published=[
        Published("a", OLD, 0, 0),
        Published("a", NEW, 0, 1),
        Published("a", MIDDLE, 0, 2),
        Published("b", NEW, 1, 0),
        Published("b", OLD, 1, 1),
    ],
    attempts=[
        attempt("a", OLD, 1, S1),
        attempt("a", NEW, 5, S2),
        attempt("a", MIDDLE, 9, S1, "stale"),
        attempt("b", NEW, 7, S1),
    ],
    lives={"a": [DataSet([A_OLD, A_NEW, passed(A_NEW, MIDDLE, 9, "stale", 4)])], "b": [DataSet([B_NEW])]},
    intervals=[
        interval("a", S1, 1, 3),
        interval("a", S2, 5, 8, End.SESSION_CLOSED),
        interval("b", S1, 7, 10),
        interval("a", S1, 9, 10),
    ],
    commits=[Commit(0, 1, "run", 2 * S), Commit(1, 2, "run", 2 * S), Commit(0, 3, "run", 4 * S)],
    held={"a": NEW, "b": NEW},
)

AGAIN = DataSet([applied(NEW, 11, 12)], seen_us=8 * S)
LOST = replace(
    GOOD,
    attempts=[*GOOD.attempts, attempt("a", NEW, 11, S1)],
    lives={**GOOD.lives, "a": [*GOOD.lives["a"], AGAIN]},
    intervals=[*GOOD.intervals, interval("a", S1, 11, 12)],
    changes_us=[8 * S],
    blind=[(7 * S, 8 * S)],
    commits=[*GOOD.commits, Commit(0, 0, "other", 9 * S), Commit(0, 3, "other", 13 * S)],
)
"""Product a was forgotten after 8 s, and written once more after 12 s."""


def with_life(*writes: Written, more: Attempt | None = None) -> History:
    attempts = [*GOOD.attempts, more] if more else GOOD.attempts
    return replace(GOOD, lives={**GOOD.lives, "a": [DataSet(writes)]}, attempts=attempts)


def with_intervals(*intervals: Interval) -> History:
    return replace(GOOD, intervals=[*intervals, *GOOD.intervals[2:]])


def taken(session: int) -> Interval:
    return Interval(lock_path(ROOT, "a"), session, 1, 20, End.SESSION_CLOSED, taken_by=(S2, 4))


def same_version(outcome: str, held: Held) -> History:
    return with_life(
        A_OLD,
        A_NEW,
        Written(MIDDLE, token(9), "stale", A_NEW.held, 4 * S),
        Written(NEW, held.token, outcome, held, 5 * S),
        more=attempt("a", NEW, int(held.token, 16), S1, outcome),
    )


BROKEN: Mapping[str, tuple[Rule, Callable[[], History]]] = {
    "an older version is accepted after a newer one": (
        Rule.VERSIONS,
        lambda: with_life(A_OLD, A_NEW, applied(MIDDLE, 9, 4)),
    ),
    "a version is accepted twice": (
        Rule.VERSIONS,
        lambda: with_life(*GOOD.lives["a"][0].writes, applied(NEW, 9, 5), more=attempt("a", NEW, 9, S1)),
    ),
    "at one version the token goes back": (
        Rule.VERSIONS,
        lambda: same_version("duplicate", Held(NEW, deleted=False, token=token(1))),
    ),
    "at one version data beats a tombstone": (
        Rule.VERSIONS,
        lambda: with_life(
            A_OLD,
            replace_held(A_NEW, deleted=True),
            passed(replace_held(A_NEW, deleted=True), MIDDLE, 9, "stale", 4),
            Written(NEW, token(9), "conflict", Held(NEW, deleted=False, token=token(9)), 5 * S),
            more=attempt("a", NEW, 9, S1, "conflict"),
        ),
    ),
    "Redis has a write that no worker has sent": (
        Rule.SOURCES,
        lambda: with_life(*GOOD.lives["a"][0].writes, passed(A_NEW, OLD, 9, "stale", 5)),
    ),
    "a worker was told that a write is applied that Redis does not have": (
        Rule.SOURCES,
        lambda: replace(GOOD, attempts=[*GOOD.attempts[:2], attempt("a", MIDDLE, 9, S1), GOOD.attempts[3]]),
    ),
    "a lock begins before the last one is over": (
        Rule.LOCKS,
        lambda: with_intervals(interval("a", S1, 1, 6), interval("a", S2, 5, 8)),
    ),
    "a lock is never over, and there is a next one": (
        Rule.LOCKS,
        lambda: with_intervals(interval("a", S1, 1, None, End.OPEN), interval("a", S2, 5, 8)),
    ),
    "a lock is deleted by another session": (Rule.LOCKS, lambda: with_intervals(taken(S1), interval("a", S2, 5, 8))),
    "ZooKeeper's log has a gap": (Rule.LOCKS, lambda: replace(GOOD, gaps=["between 1 and 3"])),
    "a write has a token of nobody's lock": (
        Rule.TOKENS,
        lambda: replace(GOOD, attempts=[*GOOD.attempts, attempt("a", OLD, 4, S1, "stale")]),
    ),
    "a write has no token": (
        Rule.TOKENS,
        lambda: replace(GOOD, attempts=[*GOOD.attempts, attempt("a", OLD, 4, S1, None)._replace(token="")]),
    ),
    "a write has the token of another product's lock": (
        Rule.TOKENS,
        lambda: replace(GOOD, attempts=[*GOOD.attempts, attempt("a", OLD, 7, S1, None)]),
    ),
    "a write is sent by another session than the lock's": (
        Rule.TOKENS,
        lambda: replace(GOOD, attempts=[*GOOD.attempts, attempt("a", OLD, 1, S2, None)]),
    ),
    "a product is at an old version in the end": (Rule.FRESH, lambda: replace(GOOD, held={"a": MIDDLE, "b": NEW})),
    "a product has the content of another version": (Rule.FRESH, lambda: replace(GOOD, damaged=["a holds 1"])),
    "a product is missing in the end": (Rule.FRESH, lambda: replace(GOOD, held={"a": NEW})),
    "a product is at a version that was never published": (
        Rule.FRESH,
        lambda: replace(GOOD, held={"a": NEW, "b": Version(9_000, 0)}),
    ),
    "a commit comes before the write": (
        Rule.COMMITS,
        lambda: replace(GOOD, commits=[Commit(0, 2, "run", 3 * S - 1_000), *GOOD.commits[1:]]),
    ),
    "a commit passes what becomes visible never": (
        Rule.COMMITS,
        lambda: replace(
            GOOD,
            published=[*GOOD.published, Published("c", OLD, 1, 2)],
            held={**GOOD.held, "c": OLD},
            commits=[*GOOD.commits, Commit(1, 3, "run", 5 * S)],
        ),
    ),
    "a commit after a rewind relies on what was visible before": (
        Rule.COMMITS,
        lambda: replace(LOST, commits=[*LOST.commits[:-1], Commit(0, 2, "other", 11 * S)]),
    ),
    "a commit goes back though Redis has forgotten nothing": (
        Rule.REWINDS,
        lambda: replace(GOOD, commits=[*GOOD.commits, Commit(0, 2, "run", 5 * S)]),
    ),
    "a commit goes back twice for one loss": (
        Rule.REWINDS,
        lambda: replace(LOST, commits=[*LOST.commits, Commit(0, 0, "other", 20 * S)]),
    ),
    "an older commit comes late, and nothing follows in time": (
        Rule.REWINDS,
        lambda: replace(GOOD, commits=[*GOOD.commits, Commit(0, 2, "run", 5 * S), Commit(0, 3, "run", 9 * S)]),
    ),
    "a commit goes back to read what another data set lacks": (
        Rule.REWINDS,
        lambda: replace(GOOD, commits=[*GOOD.commits, Commit(0, 2, "other", 5 * S), Commit(0, 3, "other", 6 * S)]),
    ),
    "a good update is dead-lettered": (
        Rule.LETTERS,
        lambda: replace(GOOD, letters=[DeadLetter(1, 1, 2 * S, "poison")]),
    ),
    "a lock is left": (Rule.LEFT_BEHIND, lambda: replace(GOOD, left_behind=["/root/locks/00/pa"])),
    **{
        f"there are no {what}": (Rule.SUBSTANCE, make)
        for what, make in {
            "commits": lambda: replace(GOOD, commits=[]),
            "products": lambda: replace(GOOD, published=[]),
            "attempts": lambda: replace(
                GOOD, attempts=[], lives={}, published=GOOD.published[:1], commits=[], held={"a": OLD}
            ),
        }.items()
    },
}


def replace_held(write: Written, *, deleted: bool) -> Written:
    return write._replace(held=write.held._replace(deleted=deleted))


@pytest.mark.parametrize("history", [GOOD, LOST], ids=["in one life", "with a loss and a rewind"])
def test_a_good_history_breaks_no_rule(history: History) -> None:
    report = check(history)
    assert not report.violations, f"\n{report}"


@pytest.mark.parametrize("what", BROKEN)
def test_each_rule_can_be_broken_and_only_that_one_is_reported(what: str) -> None:
    rule, make = BROKEN[what]
    report = check(make())
    assert report.violated == {rule}, f"\n{report}"
    assert f"BROKEN  {rule.name}" in str(report)


def test_every_rule_is_tried() -> None:
    assert {rule for rule, _ in BROKEN.values()} == set(Rule)


def test_at_one_version_the_content_under_the_newer_token_may_win() -> None:
    for outcome in ("conflict", "duplicate"):
        report = check(same_version(outcome, Held(NEW, deleted=False, token=token(9))))
        assert not report.violations, f"\n{report}"


def test_a_dead_letter_stands_for_the_newest_of_a_product_that_may_die() -> None:
    history = replace(
        GOOD,
        published=[*GOOD.published, Published("c", NEW, 1, 2)],
        letters=[DeadLetter(1, 2, 4 * S, "poison")],
        commits=[*GOOD.commits, Commit(1, 3, "run", 5 * S)],
    )
    assert not check(history, dead={"c"}).violations
    assert check(history).violated == {Rule.LETTERS, Rule.FRESH}
    assert check(replace(history, letters=[]), dead={"c"}).violated == {Rule.FRESH, Rule.COMMITS}


def test_an_older_commit_that_was_sent_again_may_come_late() -> None:
    late = [*GOOD.commits, Commit(0, 2, "run", 5 * S), Commit(0, 3, "run", 6 * S)]
    assert not check(replace(GOOD, commits=late)).violations


def test_what_redis_forgot_before_it_was_fetched_is_known_from_the_workers() -> None:
    """The write of a is gone with its data set; that a worker was told of it, before the commit, is enough."""
    told = [a._replace(answered_us=2 * S) if a.version == NEW else a for a in LOST.attempts]
    lives = {**LOST.lives, "a": [DataSet([A_OLD]), AGAIN]}
    history = replace(LOST, attempts=told, lives=lives, blind=[(0, 8 * S)])
    assert not check(history).violations
    early = [a._replace(answered_us=2 * S) for a in told]
    assert not check(
        replace(history, attempts=early, lives={**LOST.lives, "a": [replace(AGAIN, seen_us=0)]})
    ).violations
    late = [a._replace(answered_us=6 * S) if a.version == NEW else a for a in LOST.attempts]
    assert check(replace(history, attempts=late)).violated == {Rule.COMMITS}
    fetched = replace(history, blind=[(3 * S, 8 * S)])
    assert check(fetched).violated == {Rule.COMMITS, Rule.SOURCES}, "it would have been fetched"


def test_a_write_that_failed_is_no_reason_to_commit() -> None:
    """The write of a, which comes after 3 s, was tried before in vain; Redis is restarted, and has lost nothing."""
    failed = attempt("a", NEW, 5, S2, "CacheUnavailableError()")._replace(at_us=1 * S, answered_us=1 * S)
    early = [Commit(0, 2, "run", 2 * S), *GOOD.commits[1:]]
    history = replace(GOOD, attempts=[*GOOD.attempts, failed], changes_us=[2 * S], blind=[(0, 2 * S)], commits=early)
    assert check(history).violated == {Rule.COMMITS}


def test_after_a_rewind_that_came_before_the_harvest_saw_the_loss_the_old_life_counts_no_more() -> None:
    """Product a is forgotten after 8 s; the bridge rewinds after 9 s, and the loss is harvested a second later."""
    lives = {**LOST.lives, "a": [LOST.lives["a"][0], replace(AGAIN, seen_us=10 * S)]}
    late = replace(LOST, lives=lives, changes_us=[10 * S], blind=[(7 * S, 10 * S)])
    assert not check(late).violations
    early = [*LOST.commits[:-1], Commit(0, 2, "other", 11 * S)]
    assert check(replace(late, commits=early)).violated == {Rule.COMMITS}


@pytest.mark.parametrize("answer", ["applied", None], ids=["answered", "killed before the answer"])
def test_what_a_second_life_held_before_it_was_fetched_is_known_from_the_workers_too(answer: str | None) -> None:
    """Product a is forgotten after 8 s, written again after 10 s, and forgotten again after 12 s, before a harvest."""
    again = attempt("a", NEW, 11, S1, answer)._replace(at_us=10 * S, answered_us=10 * S if answer else None)
    last = attempt("a", NEW, 13, S1)
    history = replace(
        LOST,
        attempts=[*GOOD.attempts, again, last],
        lives={**GOOD.lives, "a": [*GOOD.lives["a"], DataSet([], 8 * S), DataSet([applied(NEW, 13, 13)], 12 * S)]},
        intervals=[*LOST.intervals, interval("a", S1, 13, 14)],
        changes_us=[8 * S, 12 * S],
        blind=[(6 * S, 8 * S), (9 * S, 12 * S)],
        commits=[*GOOD.commits, Commit(0, 0, "other", 9 * S), Commit(0, 3, "other", 11 * S)],
    )
    assert not check(history).violations
    before = [a._replace(at_us=7 * S, answered_us=7 * S) if a is again else a for a in history.attempts]
    assert check(replace(history, attempts=before)).violated == {Rule.COMMITS}


def test_a_run_that_writes_nothing_is_good_only_where_that_was_meant() -> None:
    nothing = History(root=ROOT)
    assert check(nothing).violated == {Rule.SUBSTANCE}
    assert not check(nothing, empty=True).violations


def test_the_report_counts_what_was_checked() -> None:
    counts = check(LOST).counts
    assert {name: counts[name] for name in ("published", "attempts", "lock intervals", "commits", "data sets")} == {
        "published": 5,
        "attempts": 5,
        "lock intervals": 5,
        "commits": 5,
        "data sets": 2,
    }

"""The checker: what must hold of every recorded history, whatever was killed meanwhile. Pure."""

import bisect
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Final

from lastword.contract.version import Version
from tasks.lock.path import lock_path
from tests.history.events import Attempt, Commit, DataSet, History, Interval
from tests.history.report import Report, Rule, Violation

NOTICED_US: Final = 10_000_000
"""The bridge may notice that Redis is another data set so much sooner than the one who harvests."""

KILLED_US: Final = 1_000_000
"""A write follows its note within so much, in a process that is killed between them."""

LATE_US: Final = 3_000_000
"""A commit that Kafka could not take is sent again, and may come so long after a newer one."""

_What = tuple[str, Version, str]


def check(history: History, *, dead: Collection[str] = (), empty: bool = False) -> Report:
    """Check every rule.

    ``dead``: products whose newest update may be in the dead-letter topic instead of the cache. ``empty``: a run in
    which nothing is written has nothing to check.
    """
    counts = _counts(history)
    found: list[Violation] = []
    for rule, broken in RULES.items():
        found += [Violation(rule, evidence) for evidence in broken(history)]
    found += [Violation(Rule.FRESH, evidence) for evidence in _stale(history, dead)]
    found += [Violation(Rule.LETTERS, evidence) for evidence in _good_letters(history, dead)]
    needed = () if empty else ("published", "attempts", "writes", "lock intervals", "commits")
    found += [Violation(Rule.SUBSTANCE, f"no {what}") for what in needed if not counts[what]]
    return Report(counts, found)


def _counts(history: History) -> dict[str, int]:
    lives = [life for product in history.lives.values() for life in product]
    outcomes = Counter(write.outcome for life in lives for write in life.writes)
    return {
        "published": len(history.published),
        "products": len({update.product for update in history.published}),
        "attempts": len(history.attempts),
        "processes": len({attempt.pid for attempt in history.attempts}),
        "writes": outcomes.total(),
        **{outcome: outcomes[outcome] for outcome in ("applied", "stale", "duplicate", "conflict")},
        "data sets": max(map(len, history.lives.values()), default=0),
        "lock intervals": len(history.intervals),
        "lock sessions": len({interval.session for interval in history.intervals}),
        "commits": len(history.commits),
        "dead letters": len(history.letters),
        "znodes": history.znodes,
    }


def _shrunk(history: History) -> Iterator[str]:
    for product, lives in history.lives.items():
        for life in lives:
            for before, after in pairwise(life.writes):
                grew = after.held.version > before.held.version
                if after.held < before.held or (after.outcome == "applied" and not grew):
                    yield f"{product}: {before} was followed by {after}"


def _unconfirmed(history: History) -> Iterator[str]:
    attempts = Counter((a.product, a.version, a.token) for a in history.attempts)
    # What Redis had forgotten before it was harvested cannot be known.
    answered = (a for a in history.attempts if a.answer == "applied" and not _may_be_forgotten(history, a))
    answers = Counter((a.product, a.version, a.token) for a in answered)
    done: Counter[_What] = Counter()
    applied: Counter[_What] = Counter()
    for product, lives in history.lives.items():
        for number, life in enumerate(lives):
            for write in life.writes if number == 0 else life.writes[_common(lives[number - 1], life) :]:
                done[product, write.version, write.token] += 1
                applied[product, write.version, write.token] += write.outcome == "applied"
    for what, count in done.items():
        if count > attempts[what]:
            yield f"Redis has {count} writes of {_told(what)}, the workers recorded {attempts[what]}"
    for what, count in answers.items():
        if count > applied[what]:
            yield f"{count} workers were told that {_told(what)} is applied, Redis has {applied[what]} such writes"


def _may_be_forgotten(history: History, attempt: Attempt) -> bool:
    """Whether Redis may have made this write and forgotten it before it was fetched."""
    if attempt.answered_us is not None:
        return any(since <= attempt.answered_us and attempt.at_us <= until for since, until in history.blind)
    # Its process was killed. The write may have come a little later than it was noted.
    return any(since - KILLED_US <= attempt.at_us <= until for since, until in history.blind)


def _common(before: DataSet, after: DataSet) -> int:
    """How many writes a snapshot or a replica has kept."""
    pairs = zip(before.writes, after.writes, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(before.writes), len(after.writes)))


def _overlaps(history: History) -> Iterator[str]:
    for path, intervals in _by_path(history.intervals).items():
        for interval in intervals:
            if interval.taken_by:
                thief, zxid = interval.taken_by
                yield f"{path} of {interval.session:#x} was deleted by {thief:#x} at zxid {zxid:#x}"
        for before, after in pairwise(intervals):
            if before.end is None or before.end > after.begin:
                yield f"{path}: {before} was not over when {after} began"
    yield from (f"ZooKeeper's log has a gap {gap}" for gap in history.gaps)


def _foreign(history: History) -> Iterator[str]:
    paths = _by_path(history.intervals)
    for attempt in history.attempts:
        path = lock_path(history.root, attempt.product)
        held = next((i for i in paths.get(path, ()) if f"{i.begin:016x}" == attempt.token), None)
        if held is None:
            yield f"no lock of {attempt.product} has the token of {attempt}"
        elif held.session != attempt.session:
            yield f"{attempt} was sent under session {attempt.session}, the lock is of session {held.session}"


def _by_path(intervals: Iterable[Interval]) -> dict[str, list[Interval]]:
    paths: dict[str, list[Interval]] = defaultdict(list)
    for interval in sorted(intervals, key=lambda interval: interval.begin):
        paths[interval.path].append(interval)
    return paths


def _stale(history: History, dead: Collection[str]) -> Iterator[str]:
    newest = {update.product: update for update in sorted(history.published, key=lambda update: update.version)}
    letters = {(letter.partition, letter.offset) for letter in history.letters}
    for product, update in newest.items():
        held = history.held.get(product)
        if held != update.version and not (product in dead and (update.partition, update.offset) in letters):
            yield f"{product} is at {held}, its newest is {update}"
    yield from history.damaged


def _good_letters(history: History, dead: Collection[str]) -> Iterator[str]:
    good = {(update.partition, update.offset): update for update in history.published if update.product not in dead}
    for letter in history.letters:
        if update := good.get((letter.partition, letter.offset)):
            yield f"{update}: {letter.reason}"


def _early_commits(history: History) -> Iterator[str]:
    """For each update, the first commit behind it in each stretch without a rewind: the others come later."""
    letters = {(letter.partition, letter.offset): letter.at_us for letter in history.letters}
    sight = {product: _Sight(history, product) for product in {update.product for update in history.published}}
    for partition, commits in _by_partition(history.commits).items():
        updates = sorted((u for u in history.published if u.partition == partition), key=lambda update: update.offset)
        offsets = [update.offset for update in updates]
        before_us = begun_us = passed = 0
        for commit in commits:
            end = bisect.bisect_left(offsets, commit.offset)
            if end < passed:
                before_us, begun_us = begun_us, commit.at_us
            for update in updates[passed:end]:
                seen_us = sight[update.product].seen_us(update.version, before_us, begun_us)
                seen_us = min(seen_us, letters.get((partition, update.offset), _NEVER))
                if seen_us > commit.at_us:
                    when = "never" if seen_us == _NEVER else f"{(seen_us - commit.at_us) / 1e6:.3f} s later"
                    yield f"{commit} passes {update}, which became visible {when}"
            passed = end


_NEVER: Final = 2**62


class _Sight:
    """When a product became visible at a version, in the life that it had since a point in time."""

    def __init__(self, history: History, product: str) -> None:
        self._lives = history.lives.get(product, ())
        # The newest version up to each write, so that it can be searched.
        self._newest = [list(accumulate((w.held.version for w in life.writes), max)) for life in self._lives]
        # Of what Redis forgot before it was harvested, only the workers can tell: those that had an answer, and those
        # that were killed before it came.
        self._told = [
            (a.version, a.answered_us or a.at_us)
            for a in history.attempts
            if a.product == product and a.answer in _SAYS_HELD and _may_be_forgotten(history, a)
        ]

    def seen_us(self, version: Version, before_us: int, begun_us: int) -> int:
        """Since the rewind at ``begun_us``; the rewind before that was at ``before_us``."""
        first = max((number for number, life in enumerate(self._lives) if life.seen_us <= begun_us), default=0)
        first += begun_us > 0 and self._was_over(first, before_us, begun_us)
        seen = []
        for life, newest in zip(self._lives[first:], self._newest[first:], strict=True):
            at = bisect.bisect_left(newest, version)
            seen += [write.at_us for write in life.writes[at : at + 1]]
        since_us = self._lives[first].seen_us if first else 0
        seen += [at_us for told, at_us in self._told if told >= version and at_us >= since_us]
        return min(map(_whole_ms, seen), default=_NEVER)

    def _was_over(self, number: int, before_us: int, begun_us: int) -> bool:
        """Whether the bridge rewound because this life was over, and noticed that before the harvest did."""
        if number + 1 >= len(self._lives) or self._lives[number + 1].seen_us > begun_us + NOTICED_US:
            return False
        life = self._lives[number]
        return life.seen_us <= before_us and not any(write.at_us > begun_us for write in life.writes[-1:])


_SAYS_HELD: Final = {None, "applied", "stale", "duplicate", "conflict"}


def _whole_ms(at_us: int) -> int:
    """Kafka tells a commit's time in whole milliseconds."""
    return at_us // 1_000 * 1_000


def _rewinds(history: History) -> Iterator[str]:
    for commits in _by_partition(history.commits).values():
        last_us = 0
        for number, (before, after) in enumerate(pairwise(commits), 1):
            if after.offset < before.offset and not _came_late(before, commits[number:]):
                if not any(last_us < change <= after.at_us + NOTICED_US for change in history.changes_us):
                    yield f"{before} was followed by {after}"
                last_us = after.at_us


def _came_late(before: Commit, later: Sequence[Commit]) -> bool:
    """Whether librdkafka sent an older commit again behind its successor, as it does when the coordinator is away.

    It notices, and commits the newer offset once more; a bridge that reads again commits what lies between, bit by bit.
    https://github.com/confluentinc/librdkafka/pull/3416
    """
    soon = (commit for commit in later if commit.at_us <= before.at_us + LATE_US)
    healed = next((commit for commit in soon if commit.offset >= before.offset), None)
    return healed is not None and healed.metadata == later[0].metadata == before.metadata


def _by_partition(commits: Sequence[Commit]) -> dict[int, list[Commit]]:
    partitions: dict[int, list[Commit]] = defaultdict(list)
    for commit in commits:
        partitions[commit.partition].append(commit)
    return partitions


def _left_behind(history: History) -> Iterator[str]:
    yield from history.left_behind


def _told(what: _What) -> str:
    product, version, token = what
    return f"{product} at {version} under {token or 'no token'}"


RULES: Final[Mapping[Rule, Callable[[History], Iterator[str]]]] = {
    Rule.VERSIONS: _shrunk,
    Rule.SOURCES: _unconfirmed,
    Rule.LOCKS: _overlaps,
    Rule.TOKENS: _foreign,
    Rule.COMMITS: _early_commits,
    Rule.REWINDS: _rewinds,
    Rule.LEFT_BEHIND: _left_behind,
}

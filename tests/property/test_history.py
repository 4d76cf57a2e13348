"""The checker over made-up runs: one in which everybody keeps to the rules passes, and one rule broken is found."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lastword.contract.version import Version
from tasks.lock.path import lock_path
from tests.history.checker import check
from tests.history.events import Attempt, Commit, DataSet, End, Held, History, Interval, Published, Written
from tests.history.report import Rule

ROOT, PRODUCTS, PARTITIONS = "/root", ("a", "b", "c"), 2
STEP_US = 10_000


@dataclass
class Run:
    """A small world that keeps to the rules: locks, a cache that compares, and commits of what it holds."""

    chance: random.Random
    zxid: int = 0
    now_us: int = 0
    published: list[Published] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    lives: dict[str, list[DataSet]] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    intervals: list[Interval] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)
    changes_us: list[int] = field(default_factory=list)
    committed: dict[int, int] = field(default_factory=dict)

    def write(self, update: Published) -> None:
        """A worker takes the product's lock, writes, perhaps without living to see the answer, and releases."""
        session = self.chance.choice([1, 2])
        self.zxid += 1
        interval = Interval(lock_path(ROOT, update.product), session, self.zxid)
        self.intervals.append(interval)
        token = f"{self.zxid:016x}"
        attempt = Attempt(update.product, update.version, token, session, session, self.now_us)
        written = self.apply(update, token)
        if self.chance.random() < 0.9:
            attempt = attempt._replace(answer=written.outcome, answered_us=self.now_us)
        self.attempts.append(attempt)
        self.zxid += 1
        interval.end, interval.how = self.zxid, End.RELEASED

    def apply(self, update: Published, token: str) -> Written:
        held = self.held.get(update.product)
        if held is None or held.version < update.version:
            outcome, held = "applied", Held(update.version, deleted=False, token=token)
        elif held.version == update.version:
            outcome, held = "duplicate", held._replace(token=token)
        else:
            outcome = "stale"
        self.held[update.product] = held
        written = Written(update.version, token, outcome, held, self.now_us)
        lives = self.lives.setdefault(update.product, [DataSet([])])
        lives[-1] = replace(lives[-1], writes=[*lives[-1].writes, written])
        return written

    def commit(self, partition: int) -> None:
        """As far as everything is visible."""
        offset = self.committed.get(partition, 0)
        for update in self.published:
            visible = update.product in self.held and self.held[update.product].version >= update.version
            if (update.partition, update.offset) == (partition, offset) and visible:
                offset += 1
        self.committed[partition] = offset
        self.commits.append(Commit(partition, offset, "", self.now_us))

    def lose_all(self) -> None:
        """Redis is wiped, and a moment later everything is rewound."""
        self.held.clear()
        self.changes_us.append(self.now_us)
        for lives in self.lives.values():
            lives.append(DataSet([], seen_us=self.now_us))
        self.now_us += STEP_US
        for partition in range(PARTITIONS):
            self.committed[partition] = 0
            self.commits.append(Commit(partition, 0, "", self.now_us))

    def history(self) -> History:
        """After a last write of everything and a last commit."""
        for update in self.published:
            self.now_us += STEP_US
            self.write(update)
        self.now_us += STEP_US
        for partition in range(PARTITIONS):
            self.commit(partition)
        return History(
            root=ROOT,
            published=self.published,
            attempts=self.attempts,
            lives=self.lives,
            intervals=self.intervals,
            commits=self.commits,
            changes_us=self.changes_us,
            held={product: held.version for product, held in self.held.items()},
        )


def run(seed: int, steps: int) -> History:
    """Random steps: changes out of order and repeated, writes of any of them, commits, and now and then a loss."""
    chance = random.Random(seed)
    world = Run(chance)
    offsets = dict.fromkeys(range(PARTITIONS), 0)
    for step in range(steps):
        world.now_us += STEP_US
        what = chance.random()
        if what < 0.4 or not world.published:
            product = PRODUCTS[step % len(PRODUCTS)]
            partition = PRODUCTS.index(product) % PARTITIONS
            version = Version(1_000 + chance.randrange(5), chance.randrange(3))
            world.published.append(Published(product, version, partition, offsets[partition]))
            offsets[partition] += 1
        elif what < 0.8:
            world.write(chance.choice(world.published))
        elif what < 0.97:
            world.commit(chance.randrange(PARTITIONS))
        else:
            world.lose_all()
    return world.history()


RUNS = st.builds(run, seed=st.integers(0, 2**32), steps=st.integers(3, 80))
CHANCES = st.randoms(use_true_random=False)


@settings(max_examples=150)
@given(history=RUNS)
def test_whoever_keeps_to_the_rules_passes(history: History) -> None:
    report = check(history)
    assert not report.violations, f"\n{report}"


def accept_an_older_one(history: History, chance: random.Random) -> History:
    """After all, a write of the oldest version is accepted."""
    product = chance.choice(sorted(history.lives))
    *before, last = history.lives[product]
    old = Version(1, 0)
    attempt = next(a for a in history.attempts if a.product == product)._replace(version=old, answer="applied")
    bad = Written(old, attempt.token, "applied", Held(old, deleted=False, token=attempt.token), 2**50)
    lives = {**history.lives, product: [*before, replace(last, writes=[*last.writes, bad])]}
    return replace(history, lives=lives, attempts=[*history.attempts, attempt])


def hide_an_attempt(history: History, chance: random.Random) -> History:
    attempts = list(history.attempts)
    attempts.pop(chance.randrange(len(attempts)))
    return replace(history, attempts=attempts)


def begin_too_early(history: History, chance: random.Random) -> History:
    """A lock begins while another one of its product stands."""
    at = chance.randrange(len(history.intervals))
    first = history.intervals[at]
    second = Interval(first.path, 3, first.begin, 2**40, End.RELEASED)
    return replace(history, intervals=[*history.intervals, second])


def lose_a_lock(history: History, chance: random.Random) -> History:
    """A write is made under a lock that nobody ever had."""
    token = chance.choice(history.attempts).token
    return replace(history, intervals=[i for i in history.intervals if f"{i.begin:016x}" != token])


def fall_back(history: History, chance: random.Random) -> History:
    product = chance.choice(sorted(history.held))
    return replace(history, held={**history.held, product: Version(1, 0)})


def commit_at_once(history: History, chance: random.Random) -> History:
    """Everything of a partition is committed before anything happens."""
    update = chance.choice(history.published)
    return replace(history, commits=[Commit(update.partition, update.offset + 1, "", 1), *history.commits])


def rewind(history: History, chance: random.Random) -> History:
    """At the end something is read again, for no reason."""
    update = chance.choice(history.published)
    late = Commit(update.partition, 0, "", history.commits[-1].at_us + 10**8)
    assume(not history.changes_us)  # a loss that no bridge has noticed yet would be a reason
    assume(any(commit.offset and commit.partition == update.partition for commit in history.commits))
    return replace(history, commits=[*history.commits, late])


BREAKERS: list[tuple[Rule, Callable[[History, random.Random], History]]] = [
    (Rule.VERSIONS, accept_an_older_one),
    (Rule.SOURCES, hide_an_attempt),
    (Rule.LOCKS, begin_too_early),
    (Rule.TOKENS, lose_a_lock),
    (Rule.FRESH, fall_back),
    (Rule.COMMITS, commit_at_once),
    (Rule.REWINDS, rewind),
]


@settings(max_examples=300)
@given(history=RUNS, breaker=st.sampled_from(BREAKERS), chance=CHANCES)
def test_one_broken_rule_is_found(
    history: History, breaker: tuple[Rule, Callable[[History, random.Random], History]], chance: random.Random
) -> None:
    rule, break_it = breaker
    report = check(break_it(history, chance))
    assert rule in report.violated, f"\n{report}"

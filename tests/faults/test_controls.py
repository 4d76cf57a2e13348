"""The product with one guarantee taken away: the checker must see it. A test that cannot fail proves nothing."""

from collections import Counter

import pytest

from tests.history.recorded_flow import RecordedFlow
from tests.history.report import Report, Rule
from tests.lock_helpers import V, open_locks
from tests.pools import THREADS
from tests.waiting import wait_until
from tests.worker_helpers import celery_worker

COUNT, PRODUCTS = 400, 20
ROUNDS = 10

CONTROLS = "tests.faults.controls."
NOTHING_ELSE = {
    "compare_off": {Rule.VERSIONS, Rule.FRESH},
    "lock_off": {Rule.TOKENS, Rule.SUBSTANCE},
    "lock_stolen": {Rule.LOCKS},
    "commits_early": {Rule.COMMITS, Rule.FRESH},
}
"""What a control may break."""


@pytest.fixture
def patches(request: pytest.FixtureRequest) -> list[str]:
    """The control that the test is named after."""
    return [f"{CONTROLS}{request.node.originalname.removeprefix('test_control_')}"]


def caught(flow: RecordedFlow, request: pytest.FixtureRequest, *rules: Rule) -> Report:
    """Check that these rules are broken, and none that has nothing to do with the control."""
    report = flow.check()
    control = request.node.originalname.removeprefix("test_control_")
    assert report.violated.issuperset(rules), f"\n{report}"
    assert report.violated <= NOTHING_ELSE[control], f"\n{report}"
    return report


def delivered(flow: RecordedFlow) -> Counter[tuple[str, tuple[int, int]]]:
    """How often each version of a product was published."""
    return Counter((product, version) for entries in flow.delivered.values() for _, product, version in entries)


def test_control_compare_off(flow: RecordedFlow, request: pytest.FixtureRequest) -> None:
    # What was overwritten is never confirmed: the bridge must not wait for that at its end.
    with celery_worker(flow.environment, *THREADS), flow.bridge(LASTWORD_SHUTDOWN_DEADLINE_S="1"):
        for seed in range(ROUNDS):
            # Of a product only the newest of a round is written: now and then one that is older than the round before.
            sent, written = delivered(flow), len(flow.attempts())
            flow.publish(COUNT // ROUNDS, PRODUCTS, seed=seed)
            changed = {product for product, _ in (delivered(flow) - sent)}
            wait_until(
                lambda: len(flow.attempts()) >= written + len(changed),  # noqa: B023 - called at once
                what="a write of each product",
            )
        wait_until(lambda: any(flow.committed().values()), what="a commit")
    report = caught(flow, request, Rule.VERSIONS)
    assert sum(v.rule is Rule.VERSIONS for v in report.violations) > PRODUCTS, f"\n{report}"


def test_control_lock_off(flow: RecordedFlow, request: pytest.FixtureRequest) -> None:
    with celery_worker(flow.environment, *THREADS), flow.bridge():
        flow.publish(COUNT, PRODUCTS)
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
    report = caught(flow, request, Rule.TOKENS, Rule.SUBSTANCE)
    assert sum(v.rule is Rule.TOKENS for v in report.violations) == report.counts["attempts"] > 0


def test_control_lock_stolen(flow: RecordedFlow, request: pytest.FixtureRequest) -> None:
    """We hold the only product's lock, as another worker might: the right one would wait."""
    with (
        open_locks(flow.environment["ZOOKEEPER_HOSTS"], flow.root) as ours,
        celery_worker(flow.environment, *THREADS),
        flow.bridge(),
    ):
        assert not ours.acquire({"p0": V}).busy
        flow.publish(3, 1)
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
    report = caught(flow, request, Rule.LOCKS)
    assert "was deleted by" in str(report)
    assert "was not over when" in str(report)


def test_control_commits_early(flow: RecordedFlow, request: pytest.FixtureRequest) -> None:
    """Some updates arrive; then there is no worker, and the broker forgets what it has taken."""
    with flow.bridge() as bridge:
        with celery_worker(flow.environment, *THREADS):
            flow.publish(20, 10)
            wait_until(lambda: flow.held() == flow.newest, what="the first updates")
        flow.publish(COUNT, PRODUCTS, seed=8)
        flow.wait_until_all_is_committed()
        assert flow.broker.llen("lastword") > 0
        flow.broker.flushdb()
        with celery_worker(flow.environment, *THREADS):
            assert bridge.stop() == 0
        assert "stopping: 0 updates in flight" in bridge.log, "nobody would send them again"
    caught(flow, request, Rule.COMMITS, Rule.FRESH)

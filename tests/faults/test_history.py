"""The history of a run in which nothing goes wrong: every source has something to tell, and they agree."""

from tests.history.recorded_flow import RecordedFlow
from tests.pools import POOLS_WHERE_A_SERVER_FAILS
from tests.worker_helpers import celery_worker

COUNT, PRODUCTS = 300, 60


@POOLS_WHERE_A_SERVER_FAILS
def test_a_quiet_run_is_recorded_by_everybody(flow: RecordedFlow, pool: tuple[str, ...]) -> None:
    with celery_worker(flow.environment, *pool), flow.bridge():
        flow.publish(COUNT, PRODUCTS)
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
    report = flow.check()
    assert not report.violations, f"\n{report}"
    counts = report.counts
    assert counts["published"] == COUNT + COUNT // 20

"""Changes that come as mere notices, through every process: what Redis holds in the end is what the database holds."""

import json
from pathlib import Path

import pytest

from lastword import Change, Publisher
from lastword.contract.record import Rules
from lastword.process.startup import EXIT_SETTINGS
from tests.faults.workers.test_poison import dead_letters
from tests.flow import BEGIN_MS, Flow
from tests.injected.constants import UNEXPECTED_RETRIES, with_constants
from tests.pools import POOLS
from tests.rows import Rows
from tests.waiting import wait_until
from tests.worker_helpers import celery_worker

COUNT, PRODUCTS = 800, 150
T_US = BEGIN_MS * 1_000


@pytest.fixture
def rows(flow: Flow, tmp_path: Path) -> Rows:
    flow.rows = Rows(tmp_path / "rows.db")
    flow.environment |= flow.rows.environment | {"LASTWORD_LOADER_TIMEOUT_S": "1.2"}
    return flow.rows


def notify(flow: Flow, product: str, sequence: int | None = 1, *, at_us: int = T_US) -> None:
    properties = {"bootstrap.servers": flow.environment["KAFKA_BOOTSTRAP_SERVERS"]}
    with Publisher(properties, flow.topic, rules=Rules(notices=True)) as publisher:
        publisher.publish(Change(product_id=product, updated_at=at_us // 1_000, sequence=sequence))
    flow.newest[product] = (at_us, sequence or 0)


def held_data(flow: Flow, product: str) -> object:
    data = flow.cache.hget(f"{flow.prefix}{product}", "data")
    assert isinstance(data, bytes)
    return json.loads(data)


@POOLS
def test_notices_and_full_states_mixed_end_at_what_the_database_holds(
    flow: Flow, rows: Rows, pool: tuple[str, ...]
) -> None:
    with celery_worker(flow.environment, *pool), flow.bridge():
        flow.publish(COUNT, PRODUCTS)
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
    assert rows.calls(), "some were loaded"
    live = [product for product, (_, number) in flow.newest.items() if number % 17]
    for product in live:
        assert held_data(flow, product) == {"number": flow.newest[product][1]}


@POOLS
def test_a_worker_killed_while_it_loads(flow: Flow, rows: Rows, pool: tuple[str, ...], tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.touch()
    rows.put("p", T_US, 1, "row", fault=f"wait {closed}")
    with flow.bridge(), celery_worker(flow.environment, *pool) as doomed:
        notify(flow, "p")
        wait_until(rows.calls, what="a call of the loader")
        doomed.kill()
        with celery_worker(flow.environment, *pool):
            closed.unlink()
            flow.wait_until_fresh()
            flow.wait_until_all_is_committed()
    assert held_data(flow, "p") == "row"


@pytest.mark.core
def test_a_loader_that_raises_is_tried_again_and_dead_lettered_with_its_message(flow: Flow, rows: Rows) -> None:
    flow.environment |= with_constants(flow.environment, {UNEXPECTED_RETRIES: 1})
    rows.put("bad", T_US, 1, 1, fault="raise no such price")
    rows.put("good", T_US, 1, 1)
    with celery_worker(flow.environment) as worker, flow.bridge():
        notify(flow, "bad")
        notify(flow, "good")
        [letter] = dead_letters(flow, count=1)
        flow.newest.pop("bad")
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
        assert "raise ValueError(reason)" in worker.log, "where the loader raised it"
    assert (letter.key, letter.ours["class"]) == (b"bad", "LoaderFailedError")
    assert letter.ours["message"] == "the loader raised ValueError: no such price"
    assert rows.calls().count(["bad"]) >= 2


def test_a_database_that_is_away_dead_letters_nothing(flow: Flow, rows: Rows) -> None:
    flow.environment |= with_constants(flow.environment, {UNEXPECTED_RETRIES: 0})
    rows.put("p", T_US, 1, 1, fault="offline no route")
    with celery_worker(flow.environment) as worker, flow.bridge():
        notify(flow, "p")
        wait_until(lambda: len(rows.calls()) >= 3, what="several tries")
        assert "the loader: ConnectionError: no route" in worker.log
        rows.put("p", T_US, 1, 1)
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()


def test_a_replica_that_lags_is_waited_for_and_not_for_ever(flow: Flow, rows: Rows) -> None:
    flow.environment["LASTWORD_LOADER_LAG_S"] = "4"
    with celery_worker(flow.environment), flow.bridge():
        rows.put("behind", T_US, 1, "old")
        notify(flow, "late", 2)
        notify(flow, "behind", 2)
        notify(flow, "gone", 2)
        wait_until(lambda: sum("late" in call for call in rows.calls()) >= 2, what="another try")
        assert flow.held() == {}
        rows.put("late", T_US, 2, "arrived")
        [letter] = dead_letters(flow, count=1)
        flow.newest.pop("behind")
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
    assert (letter.key, letter.ours["class"]) == (b"behind", "RowStaysBehindError")
    assert f"notice {T_US}-2" in letter.ours["message"]
    assert f"version {T_US}-1" in letter.ours["message"]
    assert held_data(flow, "late") == "arrived"
    assert flow.cache.hget(f"{flow.prefix}gone", "deleted") == b"1"


def test_two_changes_of_one_time_are_both_loaded_for(flow: Flow, rows: Rows) -> None:
    """As with a column that is coarser than the changes are frequent, and no row version."""
    with celery_worker(flow.environment), flow.bridge():
        rows.put("p", T_US, None, "first")
        notify(flow, "p", None)
        wait_until(lambda: flow.cache.hget(f"{flow.prefix}p", "data") == b'"first"', what="the first")
        rows.put("p", T_US, None, "second")
        notify(flow, "p", None)
        wait_until(lambda: flow.cache.hget(f"{flow.prefix}p", "data") == b'"second"', what="the second")
        flow.wait_until_all_is_committed()


@pytest.mark.usefixtures("rows")
def test_a_worker_whose_loader_is_not_there_says_so_and_does_not_start(flow: Flow) -> None:
    flow.environment["LASTWORD_LOADER"] = "tests.rows:lead"
    with celery_worker(flow.environment, wait_ready=False) as worker:
        wait_until(lambda: worker.exit_code is not None, what="its end")
        assert "setting LASTWORD_LOADER: given 'tests.rows:lead'; it cannot be imported: AttributeError" in worker.log
        assert "Traceback" not in worker.log
    assert worker.exit_code == EXIT_SETTINGS

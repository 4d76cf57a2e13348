"""Every test in this folder carries the mark ``faults``; those marked ``core`` are quick enough for `make test`.

Its ``flow`` records what every party does, and when a test has ended well, the checker has the last word.
"""

from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path

import pytest

from servers import Reachable, ReachableRedis, Redis, ZooKeeper
from tests.history.recorded_flow import RecordedFlow

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.faults)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """The history of each test that has ended well is checked, while its servers still run."""
    done = yield
    flow = pyfuncitem.funcargs.get("flow")
    if isinstance(flow, RecordedFlow) and flow.report is None:
        report = flow.check()
        assert not report.violations, f"\n{report}\n{flow.bridges_said()}"
    return done


@pytest.fixture
def kafka_server(request: pytest.FixtureRequest, kafka_server: Reachable) -> Reachable:
    """Faults are for our own servers: a test that asks for ``own_kafka`` has its flow there."""
    return request.getfixturevalue("own_kafka") if "own_kafka" in request.fixturenames else kafka_server


@pytest.fixture(scope="session")
def redis_server(own_redis: Redis) -> ReachableRedis:
    return own_redis


@pytest.fixture(scope="session")
def zookeeper_server(own_zookeeper: ZooKeeper) -> Reachable:
    return own_zookeeper


@pytest.fixture
def patches() -> list[str]:
    """The modules that change the product in the workers and bridges of a test: none, except in a control."""
    return []


@pytest.fixture
def flow_type(patches: list[str]) -> Callable[..., RecordedFlow]:
    """A recorded flow; a test that does not check its history itself has it checked at its end."""
    return partial(RecordedFlow, patches=patches)

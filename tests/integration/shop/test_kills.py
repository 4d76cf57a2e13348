"""A thousand changes while the service and the relay are killed again and again: none lost, and no phantom."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from examples.shop.catalog import Catalog
from examples.shop.tables import Outbox, Product
from tests.integration.shop.running import Service, relay
from tests.integration.shop.topic import without_repeats
from tests.waiting import wait_until

CHANGES = 1_000
CLIENTS = 4
KILLS = 8


def test_none_lost_and_no_phantom(
    *,
    engine: Engine,
    database: str,
    relaying: dict[str, str],
    published: Callable[[], dict[str, list[int]]],
    tmp_path: Path,
) -> None:
    ids = [Catalog(engine).create(f"p{number}", Decimal(1), 1).id for number in range(20)]
    running = Service(tmp_path, database)
    running.start()
    carrying = relay(tmp_path, relaying)
    acknowledged: dict[int, int] = dict.fromkeys(ids, 1)
    done = threading.Semaphore(0)
    mutex = threading.Lock()

    def change(seed: int) -> None:
        own = random.Random(seed)
        for _ in range(CHANGES // CLIENTS):
            one = own.choice(ids)
            try:
                answer = running.ask("PATCH", f"/products/{one}", {"stock": own.randrange(1_000)})
            except OSError:  # nobody knows what became of it
                wait_until(running.answers, what="the service")
            else:
                assert answer.status == 200, answer
                with mutex:
                    acknowledged[one] = max(acknowledged[one], answer.body["version"])
            done.release()

    try:
        with ThreadPoolExecutor(CLIENTS) as pool:
            clients = [pool.submit(change, seed) for seed in range(CLIENTS)]
            for kill in range(KILLS):
                for _ in range(CHANGES // (KILLS + 1)):
                    assert done.acquire(timeout=60)
                if kill % 2:
                    running.kill()
                    running.start()
                else:
                    carrying.kill()
                    carrying = relay(tmp_path, relaying)
            for client in clients:
                client.result(120)
        wait_until(lambda: _left(engine) == 0, what="an empty outbox")
    finally:
        carrying.stop(20)
        running.stop()
    with Session(engine) as session:
        stored = {str(product.id): product.version for product in session.scalars(select(Product))}
    assert {number: without_repeats(found) for number, found in published().items()} == {
        number: list(range(1, version + 1)) for number, version in stored.items()
    }
    assert all(stored[str(one)] >= version for one, version in acknowledged.items())
    assert sum(stored.values()) > CHANGES // 2, "the service was there most of the time"


def _left(engine: Engine) -> int:
    with Session(engine) as session:
        return session.scalar(select(func.count()).select_from(Outbox)) or 0

"""The page's buttons: bursts of changes, a record that is none, and what can be done to the demo's own processes."""

import random
import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import redis
from fastapi import APIRouter, HTTPException

from examples.shop.catalog import Catalog
from examples.shop.crew import Crew
from lastword import Publisher

BURST: Final = 1_000
SHUFFLED: Final = 5_000
TOGETHER: Final = 100
ANSWER_S: Final = 5.0
PAUSABLE: Final = frozenset({"worker 1", "worker 2"})


class Buttons:
    """What the buttons do. ``wipe`` empties the Celery broker; None where it is not the demo's own."""

    def __init__(self, catalog: Catalog, publisher: Publisher, crew: Crew, wipe: Callable[[], object] | None) -> None:
        self._catalog = catalog
        self._publisher = publisher
        self._crew = crew
        self._wipe = wipe
        self._chance = random.Random()

    def router(self) -> APIRouter:
        """The buttons, as requests."""
        router = APIRouter(prefix="/demo")
        router.post("/change-one")(self.change_one)
        router.post("/burst")(self.burst)
        router.post("/shuffled")(self.shuffled)
        router.post("/invalid")(self.invalid)
        router.post("/processes/{name}/{what}")(self.treat)
        router.post("/wipe-broker")(self.wipe_broker)
        return router

    def change_one(self) -> dict[str, Any]:
        """Change one product, drawn at random."""
        return {"changed": 1, "product": self._change([self._draw()])}

    def burst(self) -> dict[str, Any]:
        """Change one product a thousand times."""
        product_id = self._draw()
        for _ in range(BURST // TOGETHER):
            self._change([product_id] * TOGETHER)
        return {"changed": BURST, "product": product_id}

    def shuffled(self) -> dict[str, Any]:
        """Change all products in a random order, again and again."""
        ids = self._ids()
        for _ in range(SHUFFLED // TOGETHER):
            self._change(self._chance.choices(ids, k=TOGETHER))
        return {"changed": SHUFFLED, "products": len(ids)}

    def invalid(self) -> dict[str, Any]:
        """Publish a record that is no update."""
        product_id = self._draw()
        published = threading.Event()
        self._publisher.publish_record(
            str(product_id).encode(),
            b'{"product_id": %d, "data": {}}' % product_id,
            on_delivered=lambda _: published.set(),
            on_failed=lambda _: None,  # nobody waits for it any more
        )
        if not published.wait(ANSWER_S):
            raise HTTPException(503, "Kafka has not taken the record; it may yet")
        return {"published": "a record without updated_at"}

    def treat(self, name: str, what: str) -> dict[str, Any]:
        """Pause, resume or kill a worker."""
        actions = {"pause": self._crew.pause, "resume": self._crew.resume, "kill": self._crew.kill}
        if name not in PAUSABLE or what not in actions:
            raise HTTPException(404, f"{', '.join(sorted(PAUSABLE))} can be: {', '.join(actions)}")
        actions[what](name)
        return {"process": name, "done": what}

    def wipe_broker(self) -> dict[str, Any]:
        """Lose every task that is queued."""
        if self._wipe is None:
            raise HTTPException(409, "the Celery broker is not the demo's own, and stays as it is")
        try:
            self._wipe()
        except redis.RedisError as error:
            raise HTTPException(503, f"the Celery broker does not answer: {error}") from error
        return {"wiped": "the Celery broker"}

    def _draw(self) -> int:
        return self._chance.choice(self._ids())

    def _ids(self) -> list[int]:
        ids = [product.id for product in self._catalog.products()]
        if not ids:
            raise HTTPException(409, "there is no product")
        return ids

    def _change(self, product_ids: list[int]) -> int:
        """Give them new prices and stocks, in one transaction."""
        self._catalog.change_all([(one, self._fields()) for one in product_ids])
        return product_ids[-1]

    def _fields(self) -> dict[str, Any]:
        return {"price": Decimal(self._chance.randint(100, 99_999)).scaleb(-2), "stock": self._chance.randint(0, 500)}

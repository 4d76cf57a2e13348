"""Changes that keep coming while something fails."""

import random
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Final, Self

from lastword.publisher.publisher import Publisher
from tests.flow import Flow
from tests.waiting import DEADLINE_S, wait_until

PER_S: Final = 40
"""Changes a second, by default: so many that two cores carry four such tests beside one another."""

BATCHES_PER_S: Final = 20


class Load:
    """Publishes shuffled changes, repeats and deletions of a fixed set of products, from entry until ``stop`` or exit.

    The numbers of the changes grow, but for the repeats. Until it has stopped ``flow.is_fresh`` has no meaning: the
    newest of each product changes all the time.
    """

    def __init__(self, flow: Flow, *, products: int = 60, per_s: int = PER_S) -> None:
        self.number = 0
        self._flow = flow
        self._products = [f"load-{number}" for number in range(products)]
        self._batch = per_s // BATCHES_PER_S
        self._chance = random.Random(7)
        self._begun = threading.Event()
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(1, "load")
        self._run: Future[None] | None = None

    def wait_until_flowing(self, *, deadline_s: float = DEADLINE_S) -> None:
        """Return when a change is visible that was published after this was called."""
        mark = self.number
        wait_until(
            lambda: max((number for _, number in self._flow.held().values()), default=0) > mark,
            deadline_s=deadline_s,
            what="a change that was published just now",
        )

    def stop(self) -> None:
        """Publish no more; Kafka has everything on return."""
        self._stopping.set()
        if self._run is not None:
            self._run.result(120)

    def __enter__(self) -> Self:
        self._run = self._pool.submit(self._publish_all)
        if not self._begun.wait(120):
            self.stop()  # raises what was wrong, if anything was
            raise AssertionError("nothing was published within 30 s")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            self._pool.shutdown()

    def _publish_all(self) -> None:
        publisher = Publisher(
            {"bootstrap.servers": self._flow.environment["KAFKA_BOOTSTRAP_SERVERS"]}, self._flow.topic
        )
        self._publish(publisher, self._products)
        self._begun.set()  # from here on no product is new
        while not self._stopping.wait(1 / BATCHES_PER_S):
            self._publish(publisher, self._chance.choices(self._products, k=self._batch))
        publisher.close(60)

    def _publish(self, publisher: Publisher, products: list[str]) -> None:
        changes = [(product, self.number + at) for at, product in enumerate(products, 1)]
        changes += self._chance.sample(changes, (len(changes) + 9) // 10)
        self._chance.shuffle(changes)
        for product, number in changes:
            self._flow.publish_one(publisher, product, number, deleted=number % 17 == 0)
        self.number += len(products)


def publish(flow: Flow, *products: str, number: int = 1) -> None:
    """Publish a change of each; Kafka has them on return."""
    publisher = Publisher({"bootstrap.servers": flow.environment["KAFKA_BOOTSTRAP_SERVERS"]}, flow.topic)
    for product in products:
        flow.publish_one(publisher, product, number)
    publisher.close(60)


def is_visible(flow: Flow, product: str, number: int = 1) -> bool:
    """Whether the product is held at this change or a newer one."""
    return flow.held().get(product, (0, -1))[1] >= number


def not_fresh(flow: Flow) -> set[str]:
    """The products that are not at their newest."""
    held = flow.held()
    return {product for product, newest in flow.newest.items() if held.get(product) != newest}


def times_to_visible(flow: Flow, product: str, *, count: int = 21) -> list[float]:
    """How long lone changes, one after the other, took from the producer to the cache, in seconds."""
    taken = []
    with Publisher({"bootstrap.servers": flow.environment["KAFKA_BOOTSTRAP_SERVERS"]}, flow.topic) as publisher:
        for number in range(count + 1):
            begin = time.monotonic()
            flow.publish_one(publisher, product, number)
            wait_until(partial(is_visible, flow, product, number), what=f"change {number} of {product}")
            taken.append(time.monotonic() - begin)
    return taken[1:]  # before the first, the producer connects

"""Why tasks do not come back, in words."""

from bridge.causes import causes
from lastword.broker.consumers import Consumer, Consumers
from lastword.contract.flow import Destination

OURS = Destination("orders", "order-", "c1")
QUEUE = "lastword.orders"


def worker(
    name: str = "w@h", *queues: str, flow: str = "orders", prefix: str = "order-", cache: str | None = "c1"
) -> Consumer:
    return Consumer(name, queues or (QUEUE,), flow, prefix, cache)


def told(*known: Consumer, older: tuple[str, ...] = (), queued: int = 3) -> list[str]:
    return list(causes(OURS, Consumers(QUEUE, queued, known, older)))


def test_nothing_is_said_of_workers_that_serve_the_flow() -> None:
    assert told(worker()) == []
    assert (
        told(worker("w@h", "lastword", QUEUE), worker("other@h", "lastword.stock", flow="stock", prefix="stock-")) == []
    )
    assert told(worker(cache=None)) == [], "its cache does not answer just now"


def test_no_worker_at_all() -> None:
    assert told() == ["no worker answers; 3 tasks in queue 'lastword.orders'"]
    assert told(queued=1) == ["no worker answers; 1 task in queue 'lastword.orders'"]


def test_nobody_on_the_queue() -> None:
    (cause,) = told(worker("w@h", "lastword.stock", flow="stock", prefix="stock-"))
    assert cause.startswith(
        "nobody consumes queue 'lastword.orders', with 3 tasks in it: w@h consumes 'lastword.stock'."
    )


def test_a_worker_of_an_older_release_may_consume_any_queue() -> None:
    assert told(worker("w@h", "lastword.stock", flow="stock", prefix="stock-"), older=("old@h",)) == []
    assert told(older=("old@h",)) == []


def test_a_worker_of_another_flow_or_with_other_keys_on_the_queue() -> None:
    for other in (worker(flow="stock"), worker(prefix="Order-"), worker(flow="stock", prefix="stock-", cache="c2")):
        (cause,) = told(worker("right@h"), other)
        assert cause.startswith(
            "worker w@h consumes queue 'lastword.orders' and drops the tasks in it: it is for flow "
        )
        assert "they are for flow 'orders', keys 'order-…'" in cause


def test_a_worker_with_another_cache() -> None:
    (cause,) = told(worker(cache="c2"), worker("right@h"))
    assert "its cache is not the bridge's" in cause
    assert "it calls itself c2, the bridge's c1" in cause
    (cause,) = told(worker(cache=""))
    assert "it is one where no bridge has been" in cause


def test_workers_of_this_flow_that_were_taken_off_its_queue_are_told_how_to_come_back() -> None:
    (cause,) = told(worker("w@h", "other"))
    assert cause.startswith(f"nobody reads the queue '{QUEUE}', not even w@h: started so (-Q, -X), or told so by ")
    assert cause.endswith(f"`celery -A tasks control add_consumer {QUEUE}` undoes that")

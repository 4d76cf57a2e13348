"""The parts of a benchmark: which runs there are in each, in their order."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

from benchmarks.article import is_possible
from benchmarks.contenders import BATCHED, Mode, article, naive, noop, pipeline, plain
from benchmarks.live import Latency, live
from benchmarks.load import Load, hot, uniform
from benchmarks.modes import BASE, modes
from benchmarks.site import Measurement, Site
from servers.rabbitmq import RabbitMQ

Step = tuple[str, Callable[[], Measurement]]
LiveStep = tuple[str, Callable[[], Latency]]

NAIVE_POOL: Final = ("--pool", "processes", "--concurrency", "8")
LONGER: Final = 10
"""So many times as many updates for those whose run would be over too soon to be measured."""

SHORTER: Final = 4
"""So many times fewer for the naive version, which would take most of the time."""

SCALED: Final = 3
LIVE: Final = (10, 100, 1_000, 2_000)
LIVE_SHARES: Final = (0.25, 0.5, 0.7)
"""Rates of a live producer: updates a second, and shares of the rate at which a full topic is drained."""

PRODUCTS: Final = (1_000, 10_000, 100_000, 1_000_000)
COPIES: Final = ((1, 1), (2, 1), (2, 2))
"""Workers and bridges beside each other on this machine."""

QUICK_LIVE, QUICK_PRODUCTS, QUICK_COPIES = (100, 1_000), PRODUCTS[2:], (COPIES[0], COPIES[2])
"""Where only that everything works is to be shown."""


def peer_steps(site: Site, rabbitmq: RabbitMQ | None, updates: int, products: int, *, quick: bool) -> list[Step]:
    """The pipeline and its peers under each load; where it is to be quick, the peers under one."""
    again = _peers(site, rabbitmq, hot, updates, products)
    return [
        *_peers(site, rabbitmq, uniform, updates, products),
        *(step for step in again if not quick or step[0].startswith("pipeline")),
    ]


def _peers(
    site: Site, rabbitmq: RabbitMQ | None, make: Callable[[int, int], Load], updates: int, products: int
) -> list[Step]:
    load, longer, shorter = (make(count, products) for count in (updates, updates * LONGER, updates // SHORTER))
    steps: list[Step] = [
        (f"pipeline, {load.name}", partial(pipeline, site, load)),
        (f"{BATCHED.name}, {load.name}", partial(pipeline, site, longer, BATCHED)),
        (f"no-op task, {load.name}", partial(noop, site, load)),
        (f"plain consumer, {load.name}", partial(plain, site, longer)),
        (f"naive version, {load.name}", partial(naive, site, shorter, NAIVE_POOL)),
    ]
    if rabbitmq is not None:
        mode = Mode("pipeline, RabbitMQ", broker_url=rabbitmq.url)
        steps.append((f"{mode.name}, {load.name}", partial(pipeline, site, load, mode)))
    if is_possible():
        steps += [
            (f"article in Java, commit per {commit}, {load.name}", partial(article, site, load, commit))
            for commit in ("record", "poll")
        ]
    return steps


def live_steps(site: Site, rates: Iterable[int], seconds: float) -> list[LiveStep]:
    """A live producer at several rates, updates a second."""
    return [(f"live, {rate:,}/s", partial(live, site, rate, seconds)) for rate in rates]


def growth_steps(site: Site, updates: int, *, quick: bool) -> list[Step]:
    """More and more products; the last have ten times as many updates as ``updates``, for as many products."""
    counts = [
        (products, updates * (LONGER if products == PRODUCTS[-1] else SCALED))
        for products in (QUICK_PRODUCTS if quick else PRODUCTS)
    ]
    return [(f"{products:,} products", partial(_grown, site, products, count)) for products, count in counts]


def _grown(site: Site, products: int, updates: int) -> Measurement:
    # Made for this run alone: a million changes take a gigabyte.
    return pipeline(site, uniform(updates, products), Mode(f"{products:,} products"))


GROWTH_BASE: Final = f"{100_000:,} products"


def scaling_steps(site: Site, updates: int, products: int, *, quick: bool) -> list[Step]:
    """More workers and bridges beside each other on this machine: ``2 + 1`` are two workers and one bridge."""
    found: list[Step] = []
    modes_and_loads = [(mode, uniform(updates * n, products)) for mode, n in ((Mode(), SCALED), (BATCHED, LONGER))]
    for workers, bridges in QUICK_COPIES if quick else COPIES:
        for mode, load in modes_and_loads:
            name = f"{workers} + {bridges}{', 200 a task' if mode is BATCHED else ''}"
            copies = Mode(
                name,
                workers=workers,
                bridges=bridges,
                updates_per_task=mode.updates_per_task,
                published_before=False,
            )
            found.append((name, partial(pipeline, site, load, copies)))
    return found


SCALING_BASE: Final = "1 + 1"


def mode_steps(site: Site, rabbitmq: RabbitMQ | None, updates: int, products: int, only: str) -> list[Step]:
    """The pipeline in each of the worker's modes, under each load."""
    url = rabbitmq.url if rabbitmq is not None else None
    chosen = [mode for mode in modes(url) if only in mode.name or mode.name == BASE]
    loads: Sequence[Load] = (uniform(updates, products), hot(updates, products))
    return [(f"{mode.name}, {load.name}", partial(pipeline, site, load, mode)) for load in loads for mode in chosen]

"""What each stage of an update costs by itself, on servers started for the run: ``python -m benchmarks.stages``.

The machine's other load moves all rows together: compare the ratios, and take several runs before you believe one.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lastword.cache.cache import Cache, Write
from lastword.contract.record import Rules, Update, decode
from lastword.contract.version import Version
from lastword.process import interrupt
from servers import Redis, ZooKeeper
from tasks.lock.locks import Locks

SECONDS = 3.0
PRODUCTS = 1_000
DATA = json.dumps({"name": "Espresso cups, white", "price": "18.35", "stock": 99, "text": "x" * 220}).encode()


def main() -> None:
    """Measure and print."""
    table = Table("stage", "at once", "per second", "ratio", box=None)
    with (
        tempfile.TemporaryDirectory(prefix="lastword-stages-") as directory,
        Redis(Path(directory) / "redis") as redis,
        ZooKeeper(Path(directory) / "zookeeper") as zookeeper,
    ):
        add(table, "decode a record of 300 bytes", {1: decoding()})
        cache = Cache.connect(redis.url())
        add(table, "write by the script", {size: writing(cache, size) for size in (1, 10, 100)})
        add(table, "read held versions", {size: looking(cache, size) for size in (1, 10, 100)})
        cache.close()
        locks = Locks(zookeeper.address)
        add(table, "lock and release, one thread", {size: locking(locks, size) for size in (1, 10, 50)})
        locks.close()
    Console().print(table)


def add(table: Table, stage: str, steps: dict[int, Callable[[], None]]) -> None:
    """Run each step for a while; a step does ``size`` things at once. Ratios are to the first."""
    first = 0.0
    for size, step in steps.items():
        step()
        begin = time.monotonic()
        rounds = 0
        while time.monotonic() - begin < SECONDS:
            step()
            rounds += 1
        rate = rounds * size / (time.monotonic() - begin)
        first = first or rate
        table.add_row(stage, str(size), f"{rate:,.0f}", f"{rate / first:.1f}")


def decoding() -> Callable[[], None]:
    """Decode the same record again."""
    value = b'{"product_id": 42, "updated_at": 1763800000123, "sequence": 7, "data": %b}' % DATA
    rules = Rules()

    def step() -> None:
        decode(key=b"42", value=value, headers=(), offset=0, timestamp_ms=None, rules=rules)

    return step


def writing(cache: Cache, size: int) -> Callable[[], None]:
    """Write ``size`` products in one pipeline, each time a newer version."""
    versions = count(1)

    def step() -> None:
        version = Version(next(versions), size)
        updates = (Update(entity_id=f"{size}-{n}", version=version, data=DATA) for n in range(size))
        cache.write([Write(update, "0" * 16) for update in updates])

    return step


def looking(cache: Cache, size: int) -> Callable[[], None]:
    """Read the versions of ``size`` products in one pipeline."""
    products = [f"100-{n % 100}-{n}" for n in range(size)]

    def step() -> None:
        cache.held(products)

    return step


def locking(locks: Locks, size: int) -> Callable[[], None]:
    """Take the locks of ``size`` products in one transaction and give them back."""
    groups: Iterator[int] = count()

    def step() -> None:
        first = next(groups) * size
        locks.acquire({f"{(first + n) % PRODUCTS}": Version(1, 1) for n in range(size)}).release()

    return step


if __name__ == "__main__":
    interrupt.run(main)

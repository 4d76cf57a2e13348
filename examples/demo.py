"""``make demo``: a shop's changes travel Kafka → bridge → Celery → ZooKeeper lock → Redis, on real servers.

Where the environment names servers (KAFKA_BOOTSTRAP_SERVERS, ZOOKEEPER_HOSTS, REDIS_URL, CELERY_BROKER_URL), they are
used instead of servers started here: with a topic, group, znodes, keys and queue of the run's own, removed at its end.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import redis
from confluent_kafka import KafkaException
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from examples.names import ROOT, Names, remove, write_celery_settings
from examples.watch import Change, Outcomes, Topics, Visible, Watcher, is_shown, newest_of, read_change
from lastword.process import interrupt
from servers import Addresses, ServerError, Servers, running_servers
from servers.process import Child

CHANGES = Path(__file__).with_name("product-changes.jsonl")
DEADLINE_S = 180.0
READY_S = 180.0
EVENTS_S = 2.0
SHOWN_PRODUCT = "42"

console = Console()


class DemoError(Exception):
    """Something the demo needs did not come up, or did not end as it should."""


@dataclass(frozen=True)
class Figures:
    """What a run came to."""

    records: int
    seconds: float
    latencies: list[float]
    outcomes: Counter[str]
    retries: int
    letters: list[str]


def main() -> int:
    """Run it; 0 if every product is at its newest."""
    try:
        with tempfile.TemporaryDirectory(prefix="lastword-demo-") as directory:
            return demo(Path(directory))
    except KeyboardInterrupt:
        console.print("\ninterrupted; everything is stopped")
        return interrupt.EXIT_INTERRUPTED
    except (DemoError, ServerError, KafkaException, redis.RedisError) as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        return 1


def demo(directory: Path) -> int:
    """Start everything, publish, watch, check, and stop everything."""
    with ExitStack() as stack:
        with console.status("Starting Kafka, ZooKeeper and Redis (the first time, their programs are fetched)"):
            addresses, own = stack.enter_context(running_servers(directory / "servers", os.environ))
        names = Names() if own else Names.fresh("lastword-demo")
        announce(addresses, own)
        if not own:
            stack.callback(clean_up, names, addresses)
        os.environ.update(addresses.environment | names.environment)
        write_celery_settings(directory, task_default_queue=names.queue)
        worker_log, bridge_log = directory / "worker.log", directory / "bridge.log"
        with console.status("Starting the worker and the bridge"):
            worker = (*WORKER, "--hostname", names.worker)
            stack.enter_context(child(directory, worker_log, "celery", *worker, ready=" ready."))
            stack.enter_context(child(directory, bridge_log, "bridge", *BRIDGE, ready="partitions assigned"))
        changes = [change for line in CHANGES.read_bytes().splitlines() if (change := read_change(line))]
        client = redis.Redis.from_url(addresses.redis_url)
        topics = Topics(addresses.kafka, names.group)
        stack.callback(topics.close)
        figures = travel(client, topics, names, newest_of(changes))
        wrong = compare(client, names, newest_of(changes))
        report(figures, newest_of(changes), wrong)
        show(client, f"{names.key_prefix}{SHOWN_PRODUCT}")
    return 1 if wrong else 0


def announce(addresses: Addresses, own: Servers | None) -> None:
    """Say which servers are used."""
    if own:
        console.print(", ".join(f"{server.name} {server.address}" for server in own), soft_wrap=True)
    else:
        console.print(f"Servers that run already: {addresses}", soft_wrap=True)


def clean_up(names: Names, addresses: Addresses) -> None:
    """Leave nothing on servers that are not ours."""
    remove(names, addresses)
    console.print(f"\nremoved from the servers what was called {names.topic}", style="dim")


WORKER = ("-A", "tasks", "worker", "--loglevel", "INFO", "--concurrency", "8", "--without-gossip", "--without-mingle")
BRIDGE = ("run", "--create-topics")


@contextmanager
def child(directory: Path, log: Path, module: str, *arguments: str, ready: str) -> Iterator[None]:
    """Run a Python module until the block ends; it has begun when its log says ``ready``."""
    process = Child(
        [sys.executable, "-m", module, *arguments],
        directory=directory,
        log_file=log,
        environment={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        end = time.monotonic() + READY_S
        while ready not in log.read_text(encoding="utf-8"):
            if process.exit_code is not None or time.monotonic() > end:
                raise DemoError(f"{module} did not start; its log says:\n{log.read_text(encoding='utf-8')[-2_000:]}")
            time.sleep(0.05)
        yield
    finally:
        process.stop(30)


def travel(client: redis.Redis, topics: Topics, names: Names, newest: dict[str, Change]) -> Figures:
    """Publish the changes and wait until every offset is committed; return what was seen meanwhile."""
    from tasks import app  # noqa: PLC0415 - reads the broker's address from the environment when it is imported

    outcomes = Outcomes(app, names.worker)
    visible = Visible(client, names.key_prefix, sorted(newest))
    with Watcher(outcomes.watch), Watcher(visible.watch):
        begin = time.monotonic()
        publish = [sys.executable, "-m", "bridge", "publish", "--unchecked", str(CHANGES)]
        if subprocess.run(publish, check=False).returncode:
            raise DemoError("the changes could not be published")
        wait_for_commit(topics, names.topic)
        seconds = time.monotonic() - begin
        records = list(topics.records(names.topic))
        letters = [record.headers["__lastword.errors.message"].decode() for record in topics.records(names.letters)]
        wait_for_events(outcomes, len(records) - len(letters))
    pairs = [(change, record.timestamp) for record in records if (change := read_change(record.value))]
    latencies = [after for change, published in pairs if (after := visible.after(change, published)) is not None]
    return Figures(len(records), seconds, latencies, outcomes.counts, outcomes.retries, letters)


def wait_for_events(outcomes: Outcomes, expected: int) -> None:
    """Give the last task events a moment: they are not guaranteed to arrive."""
    end = time.monotonic() + EVENTS_S
    while outcomes.counts.total() < expected and time.monotonic() < end:
        time.sleep(0.05)


def wait_for_commit(topics: Topics, topic: str) -> None:
    """Return when the bridge has committed every record; DemoError when it takes too long."""
    ends = topics.ends(topic)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("committed: visible in Redis", total=sum(ends.values()))
        end = time.monotonic() + DEADLINE_S
        while (committed := sum(topics.committed(topic, list(ends)).values())) < sum(ends.values()):
            progress.update(bar, completed=committed)
            if time.monotonic() > end:
                raise DemoError(f"{committed} of {sum(ends.values())} records are committed after {DEADLINE_S:g} s")
            time.sleep(0.1)


def compare(client: redis.Redis, names: Names, newest: dict[str, Change]) -> list[str]:
    """Return the products of which Redis does not hold the newest change in the file."""
    return [p for p, change in newest.items() if not is_shown(client.hgetall(f"{names.key_prefix}{p}"), change)]


def report(figures: Figures, newest: dict[str, Change], wrong: list[str]) -> None:
    """Print the figures."""
    quantiles = statistics.quantiles(figures.latencies, n=100)
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in figures.outcomes.most_common())
    right = len(newest) - len(wrong)
    table = Table(box=None, show_header=False)
    table.add_row("published", f"{figures.records} records of {len(newest)} products")
    table.add_row("outcomes (task events)", f"{outcomes}; {figures.retries} retries")
    table.add_row("updates per second", f"{figures.records / figures.seconds:.0f}")
    table.add_row(
        "publish to visible", f"p50 {quantiles[49]:.1f} s, p99 {quantiles[98]:.1f} s; all were published at once"
    )
    table.add_row("dead-lettered", str(len(figures.letters)))
    table.add_row("products at their newest", f"{right} of {len(newest)}", style="bold red" if wrong else "bold green")
    console.print(table)
    for reason in figures.letters:
        console.print(f"   dead letter: {reason}", style="dim", soft_wrap=True, markup=False)
    for product in wrong[:10]:
        console.print(f"   product {product} is not at its newest", style="red")


def show(client: redis.Redis, key: str) -> None:
    """Print one product as a reader sees it."""
    console.print(f"\nHMGET {key} data deleted", style="bold")
    fields = cast("list[bytes | None]", client.hmget(key, "data", "deleted"))
    for number, value in enumerate(fields, 1):
        console.print(f"{number}) {bytes(value).decode() if value else '(nil)'}", soft_wrap=True)


if __name__ == "__main__":
    interrupt.run(main)

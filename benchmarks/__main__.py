"""``make bench``: the pipeline and its peers, side by side on the same servers; ``--modes``: the worker's modes.

Where the environment names servers (KAFKA_BOOTSTRAP_SERVERS, ZOOKEEPER_HOSTS, REDIS_URL, CELERY_BROKER_URL), they are
used instead of servers started here; what the runs leave on them is removed.
"""

import os
import shlex
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import click
from confluent_kafka import KafkaException
from redis.exceptions import RedisError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import report
from benchmarks.article import is_possible
from benchmarks.contenders import article, naive, noop, pipeline, plain
from benchmarks.load import Load, hot, uniform
from benchmarks.modes import BASE, modes
from benchmarks.program import BenchmarkError
from benchmarks.site import Measurement, Site
from examples.names import ROOT
from servers import ServerError, running_servers
from servers.rabbitmq import RabbitMQ, is_installed

NAIVE_POOL = ("--pool", "processes", "--concurrency", "8")
LONGER = 10  # times as many updates for the plain consumer: its run would be over too soon to be measured
PAGES = {
    "bench": ROOT / "docs" / "performance.md",
    "modes": ROOT / "docs" / "decisions" / "0005-pool-and-acknowledgement.md",
}

Step = tuple[str, Callable[[], Measurement]]

console = Console()


@click.command()
@click.option("--modes", "compare_modes", is_flag=True, help="Compare the worker's pools and modes, not the peers.")
@click.option("--updates", type=click.IntRange(1), help="Updates in a run; default 20000, with --modes 3000.")
@click.option("--products", type=click.IntRange(2), default=5_000, show_default=True)
@click.option("--rounds", type=click.IntRange(1), help="Default 3, with --modes 2.")
@click.option("--quick", is_flag=True, help="A tiny run that shows that everything works; its figures mean nothing.")
@click.option("--only", help="With --modes: only those whose name contains this, and the default.")
@click.option("--results", type=click.Path(file_okay=False, path_type=Path), default=report.RESULTS)
@click.option("--write-docs", is_flag=True, help="Put the tables in their place in docs/.")
def main(
    *,
    compare_modes: bool,
    updates: int | None,
    products: int,
    rounds: int | None,
    quick: bool,
    only: str | None,
    results: Path,
    write_docs: bool,
) -> None:
    """Measure, and print ratios first."""
    updates = updates or (200 if quick else 3_000 if compare_modes else 20_000)
    rounds = rounds or (1 if quick else 2 if compare_modes else 3)
    products = min(products, 50) if quick else products
    try:
        with tempfile.TemporaryDirectory(prefix="lastword-bench-") as directory, ExitStack() as stack:
            site, steps = prepare(Path(directory), stack, updates, products, compare_modes=compare_modes, only=only)
            machine, versions = report.describe(site)
            found = [go_round(f"round {number} of {rounds}", steps) for number in range(1, rounds + 1)]
    except KeyboardInterrupt:
        console.print("\ninterrupted; everything is stopped")
        sys.exit(130)
    except (BenchmarkError, ServerError, KafkaException, RedisError) as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        sys.exit(1)
    command = shlex.join(["python", "-m", "benchmarks", *(part for part in sys.argv[1:] if part != "--write-docs")])
    outcome = report.Report(command, machine, versions, BASE if compare_modes else "pipeline", found)
    show_and_keep(outcome, results, PAGES["modes" if compare_modes else "bench"] if write_docs else None)


def prepare(
    directory: Path, stack: ExitStack, updates: int, products: int, *, compare_modes: bool, only: str | None
) -> tuple[Site, list[Step]]:
    """Start the servers, which the stack will stop; return them and what is to be run in each round."""
    with console.status("Starting the servers"):
        addresses, own = stack.enter_context(running_servers(directory / "servers", os.environ))
        site = Site(addresses, own, directory)
        rabbitmq = None
        if compare_modes and is_installed():
            rabbitmq = stack.enter_context(RabbitMQ(directory / "rabbitmq"))
    console.print(f"servers: {addresses}", soft_wrap=True)
    loads = [uniform(updates, products), hot(updates, products)]
    if compare_modes:
        return site, mode_steps(site, loads, rabbitmq, only or "")
    longer = [uniform(updates * LONGER, products), hot(updates * LONGER, products)]
    return site, peer_steps(site, loads, longer)


def go_round(title: str, steps: list[Step]) -> report.Round:
    """Run every contender under every load once, so that the machine's changing speed meets all alike."""
    found = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(title, total=len(steps))
        for name, step in steps:
            progress.update(bar, description=f"{title}: {name}")
            found.append(step())
            progress.advance(bar)
            progress.console.print(f"{title}: {name}: {found[-1].rate:,.0f} updates/s", style="dim")
    return found


def show_and_keep(outcome: report.Report, results: Path, page: Path | None) -> None:
    """Print what came out, keep it, and put it into its place in a page of the documentation, if there is one."""
    date = report.now()
    report.show(outcome, console)
    console.print(f"written to {report.write_json(outcome, results, date)}", soft_wrap=True)
    text = report.markdown(outcome, date)
    if page is None:
        console.print(f"\n{text}", markup=False, soft_wrap=True)
    else:
        report.rewrite_block(page, text)
        console.print(f"and into {page.relative_to(ROOT)}")


def peer_steps(site: Site, loads: list[Load], longer: list[Load]) -> list[Step]:
    """The pipeline and its peers under each load."""
    steps: list[Step] = []
    for load, long in zip(loads, longer, strict=True):
        steps += [
            (f"pipeline, {load.name}", partial(pipeline, site, load)),
            (f"no-op task, {load.name}", partial(noop, site, load)),
            (f"plain consumer, {load.name}", partial(plain, site, long)),
            (f"naive version, {load.name}", partial(naive, site, load, NAIVE_POOL)),
        ]
        if is_possible():
            steps += [
                (f"article in Java, commit per {commit}, {load.name}", partial(article, site, load, commit))
                for commit in ("record", "poll")
            ]
    return steps


def mode_steps(site: Site, loads: list[Load], rabbitmq: RabbitMQ | None, only: str) -> list[Step]:
    """The pipeline in each mode, under each load."""
    url = rabbitmq.url if rabbitmq is not None else None
    chosen = [mode for mode in modes(url) if only in mode.name or mode.name == BASE]
    return [(f"{mode.name}, {load.name}", partial(pipeline, site, load, mode)) for load in loads for mode in chosen]


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")

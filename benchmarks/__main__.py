"""``make bench``: the pipeline and its peers, side by side on the same servers; ``--modes``: the worker's modes.

Where the environment names servers (KAFKA_BOOTSTRAP_SERVERS, ZOOKEEPER_HOSTS, REDIS_URL, CELERY_BROKER_URL), they are
used instead of servers started here; what the runs leave on them is removed.
"""

import os
import shlex
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Final, TypeVar

import click
from confluent_kafka import KafkaException
from redis.exceptions import RedisError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import report, sections
from benchmarks.contenders import pipeline
from benchmarks.live import Latency
from benchmarks.load import uniform
from benchmarks.modes import BASE
from benchmarks.plots import write_plots
from benchmarks.program import BenchmarkError
from benchmarks.report import Report
from benchmarks.site import Measurement, Site
from examples.names import ROOT
from lastword.process import interrupt
from servers import ServerError, running_servers
from servers.rabbitmq import RabbitMQ, is_installed

PAGE: Final = ROOT / "docs" / "performance.md"
MODES_PAGE: Final = ROOT / "docs" / "decisions" / "0005-pool-and-acknowledgement.md"
PLOTS: Final = ROOT / "docs" / "plots"
LIVE_S: Final = 10.0
QUICK_LIVE_S: Final = 1.0
SECTIONS: Final = ("peers", "latency", "growth", "scaling")

console = Console()
F = TypeVar("F", Measurement, Latency)


class Bench:
    """One command: where it runs, how much, and what it has found so far."""

    def __init__(
        self, site: Site, rabbitmq: RabbitMQ | None, *, updates: int, products: int, rounds: int, quick: bool
    ) -> None:
        self.site = site
        self._rabbitmq = rabbitmq
        self._updates = updates
        self._products = products
        self._rounds = rounds
        self._quick = quick
        self.latencies: list[Latency] = []
        self.reports: dict[str, Report] = {}

    def peers(self) -> None:
        """Run every contender under every load once a round, so that the machine's changing speed meets all alike."""
        steps = sections.peer_steps(self.site, self._rabbitmq, self._updates, self._products, quick=self._quick)
        self._add("peers", "pipeline", steps, self._rounds)

    def latency(self) -> None:
        """Run a live producer at rising rates."""
        if self._quick:
            self.latencies = go_through("latency", sections.live_steps(self.site, sections.QUICK_LIVE, QUICK_LIVE_S))
            return
        peers = self.reports.get("peers")
        if peers is None:
            drained = pipeline(self.site, uniform(self._updates, self._products)).rate
        else:
            drained = statistics.median(one.rate for one in peers.of("uniform", "pipeline"))
        rates = sorted({*sections.LIVE, *(round(share * drained) for share in sections.LIVE_SHARES)})
        self.latencies = go_through("latency", sections.live_steps(self.site, rates, LIVE_S))

    def growth(self) -> None:
        """Drain topics with more and more products."""
        self._add("growth", sections.GROWTH_BASE, sections.growth_steps(self.site, self._updates, quick=self._quick), 1)

    def scaling(self) -> None:
        """Drain a topic with more and more workers and bridges."""
        steps = sections.scaling_steps(self.site, self._updates, self._products, quick=self._quick)
        self._add("scaling", sections.SCALING_BASE, steps, 1)

    def modes(self, only: str) -> None:
        """Run the pipeline in each of the worker's modes."""
        steps = sections.mode_steps(self.site, self._rabbitmq, self._updates, self._products, only)
        self._add("modes", BASE, steps, self._rounds)

    def _add(self, section: str, base: str, steps: list[sections.Step], rounds: int) -> None:
        titles = [
            f"{section}, round {number} of {rounds}" if rounds > 1 else section for number in range(1, rounds + 1)
        ]
        self.reports[section] = Report(base, [go_through(title, steps) for title in titles])

    def everything(self) -> dict[str, object]:
        """All figures, for the file of results."""
        return {name: asdict(one) for name, one in self.reports.items()} | {
            "latency": [asdict(one) for one in self.latencies]
        }

    def show(self) -> None:
        """Print all tables."""
        for name, one in self.reports.items():
            console.rule(name)
            report.show_report(one, console)
        if self.latencies:
            console.rule("latency")
            report.show(report.LATENCY_HEADINGS, [report.latency_row(one) for one in self.latencies], console)

    def markdown(self) -> str:
        """All tables, for the documentation."""
        parts = [f"\n## {TITLES[name]}\n{report.markdown(one)}" for name, one in self.reports.items()]
        if self.latencies:
            rows = [report.latency_row(one) for one in self.latencies]
            table = report.markdown_table(report.LATENCY_HEADINGS, rows)
            parts.insert(1, f"\n## {TITLES['latency']}\n\n{table}")
        return "".join(parts)


TITLES: Final = {
    "peers": "Beside its peers",
    "modes": "Modes",
    "latency": "Latency",
    "growth": "More products",
    "scaling": "More of each",
}


@click.command()
@click.option("--modes", "compare_modes", is_flag=True, help="Compare the worker's pools and modes, not the peers.")
@click.option("--section", "chosen", type=click.Choice(SECTIONS), multiple=True, help="Default: all of them.")
@click.option("--updates", type=click.IntRange(20), help="Updates in a run; default 20000, with --modes 3000.")
@click.option("--products", type=click.IntRange(2), default=5_000, show_default=True)
@click.option("--rounds", type=click.IntRange(1), help="Default 2.")
@click.option("--quick", is_flag=True, help="A tiny run that shows that everything works; its figures mean nothing.")
@click.option("--only", help="With --modes: only those whose name contains this, and the default.")
@click.option("--results", type=click.Path(file_okay=False, path_type=Path), default=report.RESULTS)
@click.option("--write-docs", is_flag=True, help="Put the tables in their place in docs/.")
def main(
    *,
    compare_modes: bool,
    chosen: Sequence[str],
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
    rounds = rounds or (1 if quick else 2)
    products = min(products, 50) if quick else products
    command = shlex.join(["python", "-m", "benchmarks", *(part for part in sys.argv[1:] if part != "--write-docs")])
    try:
        with tempfile.TemporaryDirectory(prefix="lastword-bench-") as directory, ExitStack() as stack:
            site, rabbitmq = prepare(Path(directory), stack)
            bench = Bench(site, rabbitmq, updates=updates, products=products, rounds=rounds, quick=quick)
            about = report.describe(bench.site)
            if compare_modes:
                bench.modes(only or "")
            else:
                for section in SECTIONS:
                    if section in (chosen or SECTIONS):
                        getattr(bench, section)()
    except KeyboardInterrupt:
        console.print("\ninterrupted; everything is stopped")
        sys.exit(interrupt.EXIT_INTERRUPTED)
    except (BenchmarkError, ServerError, KafkaException, RedisError) as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        sys.exit(1)
    keep(bench, command, about, results)
    if write_docs:
        write(bench, report.heading(command, about, report.now()), MODES_PAGE if compare_modes else PAGE)


def prepare(directory: Path, stack: ExitStack) -> tuple[Site, RabbitMQ | None]:
    """Start the servers, which the stack will stop."""
    with console.status("Starting the servers"):
        addresses, own = stack.enter_context(running_servers(directory / "servers", os.environ))
        rabbitmq = stack.enter_context(RabbitMQ(directory / "rabbitmq")) if is_installed() else None
    console.print(f"servers: {addresses}", soft_wrap=True)
    return Site(addresses, own, directory), rabbitmq


def go_through(title: str, steps: Sequence[tuple[str, Callable[[], F]]]) -> list[F]:
    """Run the steps one after the other, and show how far they have come."""
    found = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task(title, total=len(steps))
        for name, step in steps:
            progress.update(bar, description=f"{title}: {name}")
            found.append(step())
            progress.advance(bar)
            progress.console.print(f"{title}: {name}: {said(found[-1])}", style="dim")
    return found


def said(one: Measurement | Latency) -> str:
    """The most important figure of a run."""
    return f"p50 {one.p50_ms:.1f} ms" if isinstance(one, Latency) else f"{one.rate:,.0f} updates/s"


def keep(bench: Bench, command: str, about: tuple[str, str], results: Path) -> None:
    """Print what came out, and keep it."""
    bench.show()
    machine, versions = about
    found = {"command": command, "machine": machine, "versions": versions, **bench.everything()}
    console.print(f"written to {report.write_json(found, results, report.now())}", soft_wrap=True)


def write(bench: Bench, heading: str, page: Path) -> None:
    """Put what came out into its place in a page of the documentation, and draw the plots."""
    report.rewrite_block(page, f"{heading}{bench.markdown()}")
    console.print(f"and into {page.relative_to(ROOT)}")
    if page == PAGE and set(SECTIONS) <= {*bench.reports, "latency"}:
        write_plots(PLOTS, bench.reports["peers"], bench.latencies, bench.reports["growth"])
        console.print(f"and drawn into {PLOTS.relative_to(ROOT)}")


if __name__ == "__main__":
    interrupt.run_click(main, prog_name="python -m benchmarks")

"""What came out, as ratios within a round first: on the terminal, as JSON, and as Markdown for the documentation."""

import json
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.live import Latency
from benchmarks.site import Measurement, Site

PACKAGES = ("celery", "kombu", "confluent-kafka", "kazoo", "redis")
BEGIN = "<!-- measured: begin -->\n"
END = "<!-- measured: end -->\n"
RESULTS = Path(__file__).with_name("results")

Round = list[Measurement]


@dataclass(frozen=True)
class Report:
    """All rounds of one section; ratios are to ``base``, in the same round and under the same load."""

    base: str
    rounds: list[Round]

    def rows(self) -> list[tuple[str, str]]:
        """Each load and contender, in the order of the first round."""
        first = {(one.load, one.contender): None for one in self.rounds[0]}
        loads = list(dict.fromkeys(load for load, _ in first))
        return sorted(first, key=lambda row: loads.index(row[0]))

    def of(self, load: str, contender: str) -> list[Measurement]:
        """The measurements of one row, one for each round."""
        return [one for each in self.rounds for one in each if (one.load, one.contender) == (load, contender)]

    def ratios(self, load: str, contender: str) -> list[float]:
        """How many times as fast as ``base``, round by round."""
        pairs = zip(self.of(load, contender), self.of(load, self.base), strict=True)
        return [one.rate / base.rate for one, base in pairs]

    def processes(self) -> list[str]:
        """The names of all processes, those of the programs first."""
        return list(dict.fromkeys(name for each in self.rounds for one in each for name in one.usage))


def describe(site: Site) -> tuple[str, str]:
    """What the machine is and what runs on it, for people."""
    memory_gib = psutil.virtual_memory().total / 2**30
    cpu = f"{psutil.cpu_count()} cores ({platform.machine()}), {memory_gib:.0f} GiB, {platform.system()}"
    load = f"load average {psutil.getloadavg()[0]:.1f} at the start"
    servers = [f"{server.name} {server.version}" for server in site.own or ()] or ["servers that ran already"]
    packages = [f"{name} {version(name)}" for name in PACKAGES]
    return f"{cpu}, {load}", ", ".join([f"Python {platform.python_version()}", *packages, *servers])


HEADINGS = (
    "load",
    "what",
    "ratio",
    "least to most",
    "updates",
    "seconds",
    "all committed after",
    "updates/s",
    "CPU ms each",
    "ZooKeeper transactions each",
    "not at their newest",
)


def speed_row(report: Report, load: str, contender: str) -> tuple[str, ...]:
    """One row under ``HEADINGS``: medians of the rounds; the products that were wrong in any of them."""
    found, ratios = report.of(load, contender), report.ratios(load, contender)
    return (
        load,
        contender,
        figure(statistics.median(ratios)),
        f"{figure(min(ratios))} to {figure(max(ratios))}",
        f"{found[0].updates:,}",
        figure(_median(found, lambda one: one.seconds)),
        _committed(found),
        f"{_median(found, lambda one: one.rate):,.0f}",
        figure(_median(found, lambda one: one.cpu_s / one.updates * 1_000)),
        _transactions(found),
        _wrong(found),
    )


def _committed(found: Sequence[Measurement]) -> str:
    times = [one.committed_s for one in found if one.committed_s is not None]
    return figure(statistics.median(times)) if times else ""


def _transactions(found: Sequence[Measurement]) -> str:
    counts = [one.transactions / one.updates for one in found if one.transactions is not None]
    return figure(statistics.median(counts)) if counts else ""


def _wrong(found: Sequence[Measurement]) -> str:
    if any(one.wrong is None for one in found):
        return ""
    return f"{sum(one.wrong or 0 for one in found)} of {sum(one.products for one in found):,}"


def usage_row(report: Report, load: str, contender: str) -> tuple[str, ...]:
    """The load, the contender, and for each process the cores it kept busy and its peak memory."""
    found = report.of(load, contender)
    cells = []
    for name in report.processes():
        if name in found[0].usage:
            cores = _median(found, lambda one, name=name: one.usage[name].cpu_s / one.seconds)  # type: ignore[misc]
            memory = max(one.usage[name].memory_mib for one in found)
            cells.append(f"{cores:.2f} / {memory:.0f}")
        else:
            cells.append("")
    return (load, contender, *cells)


def figure(number: float) -> str:
    """Two digits, or all before the point."""
    return f"{number:.0f}" if number >= 10 else f"{number:.1f}" if number >= 1 else f"{number:.2f}"


def _median(found: Sequence[Measurement], of: Callable[[Measurement], float]) -> float:
    return statistics.median(of(one) for one in found)


def tables(report: Report) -> list[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    """Headings and rows of both tables."""
    usage_headings = ("load", "what", *report.processes())
    return [
        (HEADINGS, [speed_row(report, *row) for row in report.rows()]),
        (usage_headings, [usage_row(report, *row) for row in report.rows()]),
    ]


LATENCY_HEADINGS = ("updates/s", "updates", "p50 ms", "p99 ms", "longest ms", "held", "CPU us each: worker", "bridge")


def latency_row(one: Latency) -> tuple[str, ...]:
    """One row under ``LATENCY_HEADINGS``."""
    cpu_us = [one.usage[name].cpu_s / one.updates * 1e6 for name in ("worker", "bridge")]
    times = (figure(one.p50_ms), figure(one.p99_ms), figure(one.most_ms))
    return (f"{one.rate:,.0f}", f"{one.updates:,}", *times, "yes" if one.held else "no", *map(figure, cpu_us))


def show(headings: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> None:
    """Print a table."""
    table = Table(*headings, box=None)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print()


def show_report(report: Report, console: Console) -> None:
    """Print both tables of a report."""
    for headings, rows in tables(report):
        show(headings, rows, console)
    console.print("Second table: cores kept busy / peak memory in MiB, each process with its children.", style="dim")


def heading(command: str, about: tuple[str, str], date: datetime) -> str:
    """How figures came about: the command, the machine, the versions."""
    machine, versions = about
    return f"`{command}`, {date:%Y-%m-%d}.\n{machine}.\n{versions}.\n"


def markdown(report: Report) -> str:
    """The tables for the documentation."""
    times = "once" if len(report.rounds) == 1 else f"{len(report.rounds)} rounds, medians"
    captions = (
        f'*{times}; ratio: how many times as fast as "{report.base}" in the same round, under the same load.*',
        "*Cores kept busy / peak memory in MiB, each process with its children.*",
    )
    lines = []
    for caption, (headings, rows) in zip(captions, tables(report), strict=True):
        lines += ["", caption, "", markdown_table(headings, rows)]
    return "\n".join(lines)


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """One table for the documentation."""
    return "\n".join([_line(headings), "|---" * len(headings) + "|", *map(_line, rows)]) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def write_json(found: Mapping[str, object], directory: Path, date: datetime) -> Path:
    """Write everything that was measured; return the file."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{date:%Y-%m-%dT%H%M%SZ}.json"
    path.write_text(json.dumps({"date": date.isoformat(), **found}, indent=1) + "\n", encoding="utf-8")
    return path


def now() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)


def rewrite_block(page: Path, text: str) -> None:
    """Put ``text`` between the page's lines ``BEGIN`` and ``END``; ValueError when it does not have them."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{page} has no lines {BEGIN!r} and {END!r}")
    page.write_text(f"{before}{begin}{text}{end}{after}", encoding="utf-8")

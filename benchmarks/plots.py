"""The plots of a run, as SVG: throughput by mode, latency against load, cost against products."""

import statistics
from pathlib import Path
from typing import Any, Final

import pygal
from pygal.style import Style

from benchmarks.live import Latency
from benchmarks.report import Report

STYLE: Final = Style(
    background="white",
    plot_background="white",
    colors=("#3b6ea5", "#d98841", "#5b9a68", "#a5539a"),
    font_family="sans-serif",
)


def write_plots(directory: Path, peers: Report, latencies: list[Latency], growth: Report) -> None:
    """Write the three plots."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, chart in (
        ("throughput", throughput(peers)),
        ("latency", latency(latencies)),
        ("growth", cost(growth)),
    ):
        # Without the script that pygal would have a reader's browser fetch.
        text = chart.render(is_unicode=True, disable_xml_declaration=True)
        (directory / f"{name}.svg").write_text(f"{text.strip()}\n", encoding="utf-8")


def throughput(report: Report) -> Any:  # noqa: ANN401 - pygal has no types
    """Updates per second of each contender, the fastest first, under each load."""
    loads = list(dict.fromkeys(load for load, _ in report.rows()))
    names = [contender for load, contender in report.rows() if load == loads[0]]
    rates = {load: [statistics.median(one.rate for one in report.of(load, name)) for name in names] for load in loads}
    order = sorted(range(len(names)), key=lambda place: rates[loads[0]][place])
    chart = pygal.HorizontalBar(
        style=STYLE, js=[], title="Updates per second", x_title="updates/s", logarithmic=True, height=520
    )
    chart.x_labels = [names[place] for place in order]
    for load in loads:
        chart.add(load, [round(rates[load][place]) for place in order])
    return chart


def latency(found: list[Latency]) -> Any:  # noqa: ANN401 - pygal has no types
    """Half and 99 of 100 updates are visible after so long, at each rate of a live producer."""
    chart = pygal.XY(
        style=STYLE,
        js=[],
        title="From Kafka's append to visible in Redis",
        x_title="updates/s",
        y_title="ms",
        logarithmic=True,
        xrange=(min(one.rate for one in found), max(one.rate for one in found)),
    )
    chart.add("p50", [(one.rate, round(one.p50_ms, 1)) for one in found])
    chart.add("p99", [(one.rate, round(one.p99_ms, 1)) for one in found])
    return chart


def cost(report: Report) -> Any:  # noqa: ANN401 - pygal has no types
    """CPU for each update in each process, by how many products there are."""
    chart = pygal.StackedBar(style=STYLE, js=[], title="CPU for each update", y_title="µs")
    rows = [(name, report.of(load, name)[0]) for load, name in report.rows()]
    chart.x_labels = [name for name, _ in rows]
    for process in report.processes():
        chart.add(process, [round(one.usage[process].cpu_s / one.updates * 1e6, 1) for _, one in rows])
    return chart

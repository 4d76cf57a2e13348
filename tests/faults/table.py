"""``python -m tests.faults.table FILE`` renews the table in docs/faults.md, made from what the fault tests measured."""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.commands import REPOSITORY
from tests.faults.figures import Figures
from tests.settings_table import page_with

PAGE = REPOSITORY / "docs/faults.md"
HEADING = (
    "| fault | under | runs | in flight | taken over after | it lasted | sent again | all fresh after |\n"
    "|---|---|--:|--:|--:|--:|--:|--:|\n"
)


def read(lines: Iterable[str]) -> list[Figures]:
    """The figures in a file that the tests have written."""
    return [Figures(**json.loads(line)) for line in lines]


def table(figures: Sequence[Figures]) -> str:
    """A row for each fault and way, in the order of the names; of several runs the largest of each figure."""
    ways = sorted({(one.fault, one.under) for one in figures})
    return HEADING + "".join(row([one for one in figures if (one.fault, one.under) == way]) for way in ways)


def row(runs: Sequence[Figures]) -> str:
    cells = [
        runs[0].fault,
        runs[0].under,
        len(runs),
        max(one.in_flight for one in runs),
        seconds(one.takeover_s for one in runs),
        seconds(one.outage_s for one in runs),
        max(one.retransmissions for one in runs),
        seconds(one.fresh_s for one in runs),
    ]
    return f"| {' | '.join(map(str, cells))} |\n"


def seconds(measured: Iterable[float | None]) -> str:
    """The longest, or nothing where nothing was measured."""
    longest = max((one for one in measured if one is not None), default=None)
    return "" if longest is None else f"{longest:.1f} s"


if __name__ == "__main__":
    written = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    PAGE.write_text(page_with({"measured": table(read(written))}, PAGE.read_text(encoding="utf-8")), encoding="utf-8")

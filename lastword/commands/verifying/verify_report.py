"""What ``lastword verify`` has found, for a person to read or as JSON."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import click

from lastword.commands.table import print_table
from lastword.commands.verifying.comparison import Missing
from lastword.contract.printable import counted

ROWS: Final = 50

LOST: Final = "committed, and not in Redis"
OTHER: Final = "the same version with another content: conflict or damage, `lastword inspect` tells which"


@dataclass(slots=True)
class Report:
    """``lost``: not held though committed, ``reasons`` by entity where there is more to say. After a repair: still.

    ``in_flight``: not held and not committed yet. ``other_contents``: empty also where contents were not compared.
    ``expired`` counts entities that may have expired, ``apart`` those that do not compare, ``bridges`` the members of
    the group, if Kafka says it.
    """

    topic: str
    records: int
    products: int
    invalid: int
    lost: list[Missing]
    in_flight: list[Missing]
    expired: int
    bridges: int | None
    reasons: dict[str, str] = field(default_factory=dict)
    other_contents: list[Missing] = field(default_factory=list)
    repaired: int = 0
    apart: int = 0
    stalled: str = ""

    @property
    def good(self) -> bool:
        """Whether there is no difference, or none any more."""
        return not self.lost and not self.other_contents

    @property
    def differences(self) -> Iterator[tuple[Missing, str]]:
        """Each difference and why it is there, as far as that is known."""
        yield from ((missing, self.reasons.get(missing.entity_id, LOST)) for missing in self.lost)
        yield from ((missing, OTHER) for missing in self.other_contents)


def show(report: Report, *, as_json: bool) -> None:
    """Print it on standard output."""
    differences = [_row(missing, why) for missing, why in report.differences]
    if as_json:
        told = {
            name: getattr(report, name)
            for name in ("topic", "records", "products", "invalid", "expired", "apart", "bridges")
        }
        told |= {
            "in_flight": [_row(missing, "in flight") for missing in report.in_flight],
            "differences": differences,
            "repaired": report.repaired,
            "stalled": report.stalled,
            "good": report.good,
        }
        click.echo(json.dumps(told, indent=2))
        return
    if differences:
        _print_rows(differences)
    for sentence in _summary(report):
        click.echo(sentence)


def _row(missing: Missing, why: str) -> dict[str, Any]:
    return {
        "product": missing.entity_id,
        "held": None if missing.held is None else str(missing.held),
        "newest": str(missing.newest.version),
        "partition": missing.newest.partition,
        "offset": missing.newest.offset,
        "why": why,
    }


def _print_rows(rows: Sequence[Mapping[str, object]]) -> None:
    """The first of them on a terminal; elsewhere all, with the names in the first line."""
    names, cells = list(rows[0]), [list(row.values()) for row in rows]
    on_terminal = sys.stdout.isatty()
    print_table(names, cells[:ROWS] if on_terminal else [names, *cells])
    if on_terminal and len(cells) > ROWS:
        click.echo(f"and {len(cells) - ROWS:,} more: they are listed where standard output is a file or a pipe")


def _summary(report: Report) -> Iterator[str]:
    yield f"{counted(report.products, 'product')} in {counted(report.records, 'record')} of topic {report.topic!r}"
    if report.invalid:
        yield f"{counted(report.invalid, 'invalid record')} passed over: `lastword dead-letters` shows why"
    if report.in_flight:
        bridges = "" if report.bridges is None else f"; {counted(report.bridges, 'bridge')} in the group"
        yield f"{counted(len(report.in_flight), 'product')} in flight: published, not held, not committed{bridges}"
    if report.expired:
        yield f"{counted(report.expired, 'product')} not held that may have expired"
    if report.apart:
        are = "product whose id has changed is" if report.apart == 1 else "products whose ids have changed are"
        yield f"{report.apart:,} {are} not compared: what was loaded is in no record, and is not older than it was then"
    if report.repaired:
        yield f"{counted(report.repaired, 'product')} missing before the repair and held now"
    if report.stalled:
        yield f"the repair was given up: {report.stalled}"
    count = sum(1 for _ in report.differences)
    if count:
        yield f"different: {counted(count, 'product')}"
    else:
        yield f"Redis holds the newest version of {'all others' if report.in_flight or report.expired else 'each'}"

"""What ``lastword replay`` has done, for a person to read or as JSON. What did not go well is on standard error."""

import json
from typing import Final

import click

from lastword.commands.replaying.rebuild import Rebuilt
from lastword.commands.replaying.sending_back import SentBack
from lastword.commands.table import print_table
from lastword.commands.verifying.repair import Repair
from lastword.contract.printable import counted, printable
from lastword.process.startup import complain

SHOWN: Final = 50


def show_sent_back(result: SentBack, topic: str, *, as_json: bool) -> None:
    """Tell how many dead letters were sent back, and of the first that were not, why."""
    if as_json:
        reasons = [{"id": str(record_id), "why": reason} for record_id, reason in result.reasons]
        click.echo(json.dumps({"topic": topic, "sent": result.delivered, "refused": result.refused, "why": reasons}))
        return
    for record_id, reason in result.reasons:
        complain(printable(f"dead letter {record_id} is not sent back: {reason}"))
    if result.refused > len(result.reasons):
        complain(f"and {result.refused - len(result.reasons):,} more are not sent back")
    click.echo(f"sent {counted(result.delivered, 'dead letter')} back to {topic!r}")


def show_records(result: Rebuilt, repair: Repair, unread: int, *, as_json: bool) -> None:
    """Tell what became of the records; ``unread``: how many the topic has behind the last that was read."""
    if as_json:
        told = {
            "records": result.records,
            "invalid": result.invalid,
            "held": repair.held,
            "confirmed": repair.confirmed,
            "missed": repair.missed,
            "unread": unread if repair.stalled else 0,
            "stalled": repair.stalled,
            "unconfirmed": [row._asdict() | {"version": str(row.version)} for row in repair.unconfirmed],
        }
        click.echo(json.dumps(told))
        return
    click.echo(counts(result, repair, in_flight=False))
    if repair.stalled:
        complain(f"gave up: {repair.stalled}" + (f"; about {unread:,} records are not read" if unread else ""))
    if repair.missed:
        complain(f"{repair.missed:,} updates were not seen in Redis:")
        rows = [
            (update.product_id, update.version, f"{update.partition}:{update.offset}", update.reason)
            for update in repair.unconfirmed
        ]
        print_table(("product", "version", "record", "why"), rows[:SHOWN], err=True)
        if repair.missed > SHOWN:
            complain(f"and {repair.missed - SHOWN:,} more")


def counts(result: Rebuilt, repair: Repair, *, in_flight: bool) -> str:
    """How far it is, in one line."""
    parts = [f"{result.records:,} records read", f"{repair.held:,} held", f"{repair.confirmed:,} sent and confirmed"]
    parts += [f"{repair.in_flight:,} in flight"] if in_flight else []
    parts += [f"{result.invalid:,} invalid"] if result.invalid else []
    parts += [f"{repair.missed:,} not confirmed"] if repair.missed else []
    return ", ".join(parts)

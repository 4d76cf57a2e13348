"""``python -m tests.soak``: faults at random under load, then the checker's report."""

import argparse
import logging
import secrets
import tempfile
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lastword.process import interrupt
from tests.soak.run import Outcome, soak
from tests.soak.schedule import LONG_S
from tests.soak.watch import highest

SEEDS = 2**32


def main() -> int:
    """Run as the command line says; 0 if all held, 1 if not."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument(
        "--seed", type=int, default=None, help="the same seed gives the same schedule; default: another"
    )
    parser.add_argument("--nodes", type=int, choices=(1, 3), default=3, help="of ZooKeeper and Kafka each; default: 3")
    parser.add_argument("--per-s", type=int, default=60, help="changes a second; default: 60")
    parser.add_argument("--report", type=Path, default=None, help="the file for all figures, as JSON")
    options = parser.parse_args()
    seed = secrets.randbelow(SEEDS) if options.seed is None else options.seed
    directory = Path(tempfile.mkdtemp(prefix="lastword-soak-"))
    # What Kafka's clients complain of while it is down is nobody's concern here.
    logging.basicConfig(filename=directory / "soak.log", format="%(asctime)s %(name)s %(levelname)s %(message)s")
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"seed {seed}, {options.minutes:g} minutes, {options.nodes} node(s); logs in {directory}")
    length_s = options.minutes * 60
    outcome = soak(directory, seed=seed, length_s=length_s, nodes=options.nodes, per_s=options.per_s, say=console.print)
    file = options.report or directory / "soak.json"
    outcome.write(file)
    show(outcome, console)
    console.print(f"all figures: {file}")
    return 0 if outcome.passed else 1


def show(outcome: Outcome, console: Console) -> None:
    """Print what came of a run."""
    counts = Counter(f"{fault.what} {fault.target}" for fault in outcome.faults)
    console.print(
        f"{len(outcome.faults)} faults: " + ", ".join(f"{n} times {what}" for what, n in sorted(counts.items()))
    )
    console.print(str(outcome.report))
    table = Table("process", "what", "3rd quarter", "last quarter", "at most", "")
    for growth in outcome.growths:
        numbers = (f"{number:g}" for number in (growth.early, growth.late, growth.most))
        table.add_row(growth.who, growth.what, *numbers, "flat" if growth.flat else "GROWS")
    console.print(table)
    if outcome.length_s < LONG_S:
        console.print(f"(what grows is judged in runs of {LONG_S / 60:g} minutes and more)")
    for what in ("znodes", "tasks queued", "updates in flight"):
        console.print(f"most {what}: {highest(outcome.samples, what):g}")
    console.print(f"everything was fresh and committed {outcome.fresh_after_s:g} s after the last change")
    for what in outcome.trouble:
        console.print(f"TROUBLE: {what}")
    console.print(f"seed {outcome.seed}: {'passed' if outcome.passed else 'FAILED'}")


if __name__ == "__main__":
    interrupt.run(main)

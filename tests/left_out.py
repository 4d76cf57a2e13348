"""At the end of a run one line says what was left out, and what to install for it."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from tests.programs import ALL

DESELECTED = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[DESELECTED] = 0


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    if items:
        items[0].config.stash[DESELECTED] += len(items)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Under pytest-xdist each worker collects for itself, all of them the same: one of them tells us."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["deselected"] = session.config.stash[DESELECTED]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:  # noqa: ANN401 - a class of pytest-xdist, which has no types
    output = getattr(node, "workeroutput", None) or {}
    node.config.stash[DESELECTED] = max(node.config.stash[DESELECTED], output.get("deselected", 0))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    reasons = Counter(_reason_of(report) for report in terminalreporter.stats.get("skipped", []))
    # Whoever chooses by another word or mark knows what he leaves out.
    deselected = config.stash[DESELECTED] if config.getoption("markexpr") == "core" else 0
    for line in left_out(deselected, reasons):
        terminalreporter.write_line(line)


def left_out(deselected: int, reasons: Counter[str]) -> list[str]:
    """What to say of so many tests that were not chosen, and of those that were skipped, by their reasons."""
    said = []
    if deselected:
        line = f"Left out: {deselected} tests of the deep layers, which `make test-all` runs."
        missing = [program for program in ALL if not program.here()]
        if missing:
            names, packages = (", ".join(one.name for one in missing), " ".join(one.package for one in missing))
            line += f" Some of them need what is not here: {names} (apt install {packages})."
        said.append(line)
    if reasons:
        each = "; ".join(f"{count}: {reason}" for reason, count in reasons.most_common())
        said.append(f"Skipped, {each}.")
    return said


def _reason_of(report: Any) -> str:  # noqa: ANN401 - a report of a test, or of a file that was not collected
    return str(report.longrepr[2]).removeprefix("Skipped: ")

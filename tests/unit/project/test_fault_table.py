"""The table of measured faults, made from the lines that the fault tests append to a file."""

from pathlib import Path

import pytest

from tests.faults.figures import VARIABLE, Figures, keep
from tests.faults.table import HEADING, read, table


def test_what_is_kept_becomes_a_row_for_each_fault_and_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "figures.jsonl"
    monkeypatch.setenv(VARIABLE, str(file))
    keep(Figures("ZooKeeper restarted", "threads", in_flight=7, outage_s=1.26, retransmissions=2, fresh_s=3.0))
    keep(Figures("Redis wiped", "", in_flight=3, fresh_s=0.44))
    keep(Figures("ZooKeeper restarted", "threads", in_flight=5, outage_s=0.5, retransmissions=9, fresh_s=0.7))
    assert table(read(file.read_text(encoding="utf-8").splitlines())) == HEADING + (
        "| Redis wiped |  | 1 | 3 |  |  | 0 | 0.4 s |\n"
        "| ZooKeeper restarted | threads | 2 | 7 |  | 1.3 s | 9 | 3.0 s |\n"
    )


def test_without_the_variable_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    keep(Figures("Redis wiped", "", in_flight=3))
    assert not list(tmp_path.iterdir())

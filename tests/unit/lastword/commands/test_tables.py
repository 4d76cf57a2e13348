"""The tables of a terminal: nothing that a person copies from them is cut off, however narrow it is."""

from pathlib import Path

import pytest

from lastword.commands import letter_lines
from lastword.commands.letter_lines import Row
from servers import status
from servers.state import Process, ServerState
from servers.status import Status


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def cells(table: str, column: int) -> list[str]:
    """The texts of a column, one for each line of the table's body."""
    return [line.split("│")[column + 1].strip() for line in table.splitlines() if line.startswith("│")]


def test_the_names_and_addresses_of_servers_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    server = ServerState("redis-replica", "Redis", "Valkey 9.1.2", "127.0.0.1:46380", "/log", Process(4_194_304, "1"))
    status.print_table(Path("here"), [server], [Status("does not answer", "broker 3, controller", 1_000 * 2**20)])
    table = capsys.readouterr().out
    assert cells(table, 0)[0] == "redis-replica"
    assert "".join(cells(table, 2)) == server.address
    assert "…" not in table


def test_a_letter_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    reason = "updated_at '2026-11-02T09:03:11.204' has no offset from UTC"
    letter_lines.print_table(
        [
            Row(
                id="12:1234567",
                at="2026-11-24T02:55:10.123456Z",
                product_id="p" * 60,
                version="1763800000000123-1234567",
                topic="t",
                record="12:1234567",
                stage="decode",
                error="InvalidUpdateError",
                reason=reason,
                omitted="",
            )
        ],
        "letters",
    )
    table = capsys.readouterr().out
    assert (cells(table, 0)[0], cells(table, 4)[0]) == ("12:1234567", "12:1234567")
    assert "".join(cells(table, 1)) == "2026-11-24T02:55:10Z"
    assert "".join(cells(table, 5)).replace(" ", "").endswith(reason.replace(" ", ""))
    assert "…" not in table

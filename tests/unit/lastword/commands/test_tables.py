"""The tables of a terminal: nothing that a person copies from them is cut off, however narrow it is."""

from pathlib import Path

import pytest

from lastword.commands.replaying import letter_lines
from lastword.commands.replaying.letter_lines import Row
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


def letter(entity_id: str, reason: str) -> Row:
    return Row(
        id="12:1234567",
        at="2026-11-24T02:55:10.123456Z",
        product_id=entity_id,
        version="1763800000000123-1234567",
        topic="t",
        record="12:1234567",
        stage="decode",
        error="InvalidUpdateError",
        reason=reason,
        omitted="",
    )


def test_a_letter_is_whole_and_its_lines_are_as_wide_as_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    reason = "updated_at '2026-11-02T09:03:11.204' has no offset from UTC; given is a time of a place that nobody knows"
    letter_lines.print_list([letter("p" * 60, reason)], "letters")
    title, *lines = capsys.readouterr().out.splitlines()
    assert title == "letters"
    assert lines[0].startswith("12:1234567  2026-11-24T02:55:10Z ")
    assert all(len(line) <= 80 for line in lines)
    words = " ".join(" ".join(lines).split()).split()
    assert words[2:4] == ["product", "p" * 60]
    assert " ".join(words).endswith(f"decode: InvalidUpdateError: {reason}")


def test_a_megabyte_is_shortened_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    key = "k" * 2**20
    letter_lines.print_list([letter(key, f"key '{key}' is too long")], "letters")
    told = " ".join(capsys.readouterr().out.split())
    assert len(told) < 2_000
    assert "k… (1,048,496 more characters)" in told
    assert "… (1,048," in told.split("InvalidUpdateError")[1]


def test_nothing_that_a_terminal_would_obey_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    letter_lines.print_list([letter("[red]\x1b[31m", "a\nb")], "letters")
    told = capsys.readouterr().out
    assert "[red]\\x1b[31m" in told
    assert "a\\nb" in told

"""What ``lastword verify`` prints of what it has found."""

import json

import pytest

from lastword.commands.verifying.comparison import Missing, NewestRecord
from lastword.commands.verifying.verify_report import Report, show
from lastword.contract.version import Version


def missing(entity_id: str, held: int | None = None) -> Missing:
    return Missing(entity_id, None if held is None else Version(held, 0), NewestRecord(Version(9, 1), 3, 812, 0))


def report(**given: object) -> Report:
    empty: dict[str, object] = {"invalid": 0, "lost": [], "in_flight": [], "expired": 0, "bridges": 1}
    return Report(topic="t", records=10, products=5, **{**empty, **given})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "Redis holds the newest version of each"),
        ({"in_flight": [missing("a")]}, "Redis holds the newest version of all others"),
        ({"in_flight": [missing("a")], "bridges": 0}, "1 product in flight: published, not held, not committed; 0 "),
        ({"in_flight": [missing("a")], "bridges": None}, "not committed\n"),
        ({"invalid": 2}, "2 invalid records passed over"),
        ({"expired": 1}, "1 product not held that may have expired"),
        ({"lost": [missing("a", 8)]}, "a\t8-0\t9-1\t3\t812\tcommitted, and not in Redis\n"),
        ({"lost": [missing("a")], "reasons": {"a": "dead letter"}}, "a\t\t9-1\t3\t812\tdead letter\n"),
        ({"other_contents": [missing("a", 9)]}, "another content"),
        ({"lost": [missing("a"), missing("b")]}, "different: 2 products"),
        ({"repaired": 7}, "7 products missing before the repair and held now"),
        ({"lost": [missing("a")], "stalled": "no worker"}, "the repair was given up: no worker"),
        ({"lost": [missing("\x1b[2J\t[red]")]}, r"\x1b[2J\t[red]"),
    ],
)
def test_each_finding_has_its_line(given: dict[str, object], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(**given)
    show(found, as_json=False)
    assert said in capsys.readouterr().out
    assert found.good == (not given.keys() & {"lost", "other_contents"})


def test_json_has_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    show(report(lost=[missing("a")], in_flight=[missing("b", 8)]), as_json=True)
    told = json.loads(capsys.readouterr().out)
    row = {"newest": "9-1", "partition": 3, "offset": 812}
    assert told["differences"] == [{"product": "a", "held": None, **row, "why": "committed, and not in Redis"}]
    assert told["in_flight"] == [{"product": "b", "held": "8-0", **row, "why": "in flight"}]
    assert (told["good"], told["products"], told["records"]) == (False, 5, 10)

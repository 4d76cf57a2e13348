"""What the last line of a run says."""

from collections import Counter

import pytest

from tests import left_out
from tests.programs import Needed

HERE = Needed("Here", "here-server", lambda: True)
MISSING = Needed("Missing", "missing-server", lambda: False)


def test_nothing_left_out_is_nothing_to_say() -> None:
    assert left_out.left_out(0, Counter()) == []


def test_what_was_not_chosen_is_counted_and_what_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(left_out, "ALL", (HERE, MISSING))
    [line] = left_out.left_out(12, Counter())
    assert line == (
        "Left out: 12 tests of the deep layers, which `make test-all` runs. "
        "Some of them need what is not here: Missing (apt install missing-server)."
    )


def test_where_everything_is_here_nothing_is_to_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(left_out, "ALL", (HERE,))
    assert left_out.left_out(12, Counter()) == ["Left out: 12 tests of the deep layers, which `make test-all` runs."]


def test_what_was_skipped_is_counted_by_its_reason() -> None:
    [line] = left_out.left_out(0, Counter({MISSING.reason: 3, "on SQLite there is one relay": 1}))
    assert line == "Skipped, 3: Missing is not installed (apt install missing-server); 1: on SQLite there is one relay."


def test_a_program_that_is_missing_skips_and_in_ci_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    HERE.need()
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt install missing-server"):
        MISSING.need()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt install missing-server"):
        MISSING.need()

"""The report of the benchmark: ratios are taken within a round, and pages keep all but their measured part."""

from pathlib import Path

import pytest

from benchmarks.meter import Usage
from benchmarks.report import BEGIN, END, Report, markdown, rewrite_block
from benchmarks.site import Measurement


def measured(contender: str, seconds: float, *, wrong: int | None = 0) -> Measurement:
    return Measurement(contender, "uniform", 1_000, seconds, 10, wrong, {contender: Usage(seconds / 2, 50.0)})


def report() -> Report:
    # The machine is ten times slower in the second round; the ratio hardly notices.
    rounds = [[measured("base", 1), measured("other", 2)], [measured("base", 10), measured("other", 25, wrong=3)]]
    return Report("base", rounds)


def test_a_ratio_is_to_the_base_of_the_same_round() -> None:
    assert report().ratios("uniform", "other") == [0.5, 0.4]
    assert report().ratios("uniform", "base") == [1.0, 1.0]


def test_what_was_wrong_in_any_round_is_shown() -> None:
    text = markdown(report())
    assert "| uniform | other | 0.45 | 0.40 to 0.50 | 1,000 |" in text
    assert "| 3 of 20 |" in text
    assert "| uniform | base | 0.50 / 50 |  |" in text


def test_a_page_keeps_all_but_its_measured_part(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Before\n{BEGIN}old\n{END}after\n", encoding="utf-8")
    for _ in range(2):
        rewrite_block(page, "new\n")
    assert page.read_text(encoding="utf-8") == f"# Before\n{BEGIN}new\n{END}after\n"


def test_a_page_without_a_place_for_it_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Before\n{BEGIN}old\n", encoding="utf-8")
    with pytest.raises(ValueError, match="has no lines"):
        rewrite_block(page, "new\n")
    assert page.read_text(encoding="utf-8") == f"# Before\n{BEGIN}old\n"

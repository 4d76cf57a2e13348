"""A minute of the soak, by a seed that is always the same: `make soak` runs longer, with others."""

from pathlib import Path

from tests.soak.run import soak
from tests.soak.schedule import plan

SEED, LENGTH_S, PER_S = 5, 60.0, 40


def test_a_minute_of_random_faults(tmp_path: Path) -> None:
    said: list[str] = []
    outcome = soak(tmp_path, seed=SEED, length_s=LENGTH_S, nodes=1, per_s=PER_S, say=said.append)
    outcome.write(tmp_path / "soak.json")
    assert outcome.passed, f"{outcome.trouble}\n{outcome.growths}\n{outcome.report}"
    assert outcome.report.counts["published"] > LENGTH_S * PER_S / 2
    assert [fault for fault in outcome.faults if str(fault) in said] == plan(SEED, LENGTH_S, 1), "all have struck"

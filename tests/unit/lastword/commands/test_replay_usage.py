"""Wrong usage of ``lastword replay`` and ``lastword dead-letters``: told before any server is asked."""

import pytest
from click.testing import CliRunner

from lastword.commands.cli import main


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["dead-letters", "--since", "yesterday"], "a duration before now"),
        (["dead-letters", "show", "17"], "wanted is partition:offset"),
        (["replay"], "--all-records; given: none"),
        (["replay", "0:1", "--all"], "given: IDs of dead letters, --all"),
        (["replay", "--since", "1h", "--all-records"], "give one of"),
        (["replay", "--since", "1h", "--force"], "--force is for dead letters"),
        (["replay", "--offsets", "0:1", "--offsets", "0:5"], "a partition is given twice"),
        (["replay", "--offsets", "0:5-1"], "ends before it begins"),
        (["replay", "--all-records", "--deadline", "0"], "0.0 is not in the range x>0"),
    ],
)
def test_wrong_usage_is_told(arguments: list[str], complaint: str) -> None:
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    assert complaint in " ".join(done.output.split())

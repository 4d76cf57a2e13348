"""What is told with a committed offset."""

import pytest

from lastword.kafka.identity import identity_and_commit, metadata_of


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        (None, ("", "")),
        ("", ("", "")),
        ("0f.topic.0.0", ("0f.topic.0.0", "")),
        ("0f.topic.0.0 5-6@7", ("0f.topic.0.0", "5-6@7")),
        ("run_id=8f1c, by hand", ("run_id=8f1c, by hand", "")),
        ("5-6@7", ("5-6@7", "")),
    ],
)
def test_the_identity_and_the_last_commit(metadata: str | None, told: tuple[str, str]) -> None:
    assert identity_and_commit(metadata) == told


@pytest.mark.parametrize("commit", ["", "5-6@7"])
def test_what_is_told_is_what_is_read(commit: str) -> None:
    assert identity_and_commit(metadata_of("0f.topic.0.0", commit)) == ("0f.topic.0.0", commit)

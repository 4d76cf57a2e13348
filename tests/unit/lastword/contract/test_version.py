import random

import pytest

from lastword.contract.version import VERSION_LIMIT, Version


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("1763800000000123-42", Version(1763800000000123, 42)),
        ("0-0", Version(0, 0)),
        ("9007199254740991-9007199254740991", Version(VERSION_LIMIT - 1, VERSION_LIMIT - 1)),
    ],
)
def test_text_and_version_stand_for_each_other(text: str, version: Version) -> None:
    assert Version.parse(text) == version
    assert str(version) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "-",
        "1-",
        "-1",
        "1--2",
        "-1-2",
        "+1-2",
        "1-+2",
        "1-2-3",
        " 1-2",
        "1-2 ",
        "1-2\n",
        "1 - 2",
        "01-2",
        "1-02",
        "00-0",
        "1_0-2",
        "1.0-2",
        "1e3-2",
        "0x1-2",
        "\u0661-\u0662",
        "1\u22122",
        "1-\uff12",
        "9007199254740992-0",
        "0-9007199254740992",
        "9999999999999999-0",
        "9" * 5000 + "-0",
        "0-" + "9" * 5000,
        "\ud800-1",
        "x" * 10**6,
    ],
)
def test_any_other_text_is_refused_in_printable_words(text: str) -> None:
    with pytest.raises(ValueError, match="is not a version") as refused:
        Version.parse(text)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 300


def test_versions_are_ordered_as_two_numbers() -> None:
    ordered = [Version(0, 0), Version(0, 1), Version(9, 10), Version(10, 9), Version(10, 10), Version(99, 0)]
    shuffled = random.Random(3).sample(ordered, len(ordered))
    assert sorted(shuffled) == ordered

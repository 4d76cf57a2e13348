"""The documents say what is there: links lead somewhere, settings exist, and so does every test that is named."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from lastword.settings.bridge import KAFKA_PREFIX, BridgeSettings
from lastword.settings.environment import environment_names
from lastword.settings.shared import TaskSettings
from servers.connect import read_properties

REPOSITORY = Path(__file__).parents[3]
TESTS = REPOSITORY / "tests"
DOCUMENTS = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])

CODE_BLOCK = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
SETTING = re.compile(r"LASTWORD_[A-Z0-9_]+")
TEST = re.compile(r"`(?:tests/)?([\w/]*test_\w+\.py)`|`(test_\w+)`")

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))


class Link(NamedTuple):
    file: Path
    anchor: str


def prose(document: Path) -> str:
    return CODE_BLOCK.sub("", document.read_text(encoding="utf-8"))


def links(document: Path) -> Iterator[Link]:
    """The links within the repository."""
    for target in LINK.findall(prose(document)):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            yield Link((document.parent / path).resolve() if path else document, anchor)


def anchors(document: Path) -> set[str]:
    """The headings as GitHub makes anchors of them."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in HEADING.findall(prose(document))}


def names_in(file: Path) -> set[str]:
    return set(re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE))


@each_document
def test_every_link_leads_to_a_file_and_a_heading(document: Path) -> None:
    found = set(links(document))
    missing = {link for link in found if not link.file.exists()}
    assert not {str(link.file.relative_to(REPOSITORY)) for link in missing}, "missing files"
    assert not {link for link in found - missing if link.anchor and link.anchor not in anchors(link.file)}


@each_document
def test_every_setting_that_is_named_exists(document: Path) -> None:
    known = environment_names([BridgeSettings, TaskSettings])
    named = set(SETTING.findall(document.read_text(encoding="utf-8")))
    properties = {name for name in named if name.startswith(KAFKA_PREFIX)}
    assert named - properties <= known


@each_document
def test_every_test_that_is_named_is_in_the_file_that_is_named(document: Path) -> None:
    """A test belongs to the file named before it in the same paragraph or row; without one it may be in any file."""
    everywhere = {name for file in TESTS.rglob("test_*.py") for name in names_in(file)}
    for line in re.split(r"\n\n|\n(?=[|#-])", prose(document)):
        there = everywhere
        for path, name in TEST.findall(line):
            if path:
                assert (TESTS / path).is_file(), f"{path} is not there"
                there = names_in(TESTS / path)
            else:
                assert name in there, f"{name} is not where the document says"


def test_the_connector_that_is_shown_is_the_one_that_is_run() -> None:
    shown = (REPOSITORY / "docs" / "formats.md").read_text(encoding="utf-8").partition("```properties\n")[2]
    run = (REPOSITORY / "examples" / "cdc" / "connector.properties").read_text(encoding="utf-8")
    assert shown.partition("```")[0] == run


def test_the_document_of_formats_names_every_connectors_file() -> None:
    said = (REPOSITORY / "docs" / "formats.md").read_text(encoding="utf-8")
    there = [path.name for path in (REPOSITORY / "examples" / "connectors").iterdir()]
    assert [name for name in there if f"{name}`" not in said] == []


def test_the_flattened_connector_is_the_plain_one_and_the_lines_that_are_shown() -> None:
    shown = (REPOSITORY / "docs" / "formats.md").read_text(encoding="utf-8").split("```properties\n")[2]
    plain = read_properties(REPOSITORY / "examples" / "cdc" / "connector.properties")
    flattened = read_properties(REPOSITORY / "examples" / "connectors" / "postgresql-flattened.properties")
    added = dict(line.split("=", 1) for line in shown.partition("```")[0].splitlines())
    assert flattened == plain | added


def test_every_row_of_the_table_of_faults_names_a_test_or_says_that_there_is_none() -> None:
    table = prose(REPOSITORY / "docs" / "architecture.md").partition("| fault |")[2].partition("\n\n")[0]
    rows = table.splitlines()[2:]
    assert rows
    for row in rows:
        assert TEST.search(row) or "not tested yet" in row, row

"""What a room's first lines name is what others use of it; what they do not name is the room's own."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
FLOORS = ("lastword", "bridge", "tasks")
ROOMS = sorted(path.parent for floor in FLOORS for path in (REPOSITORY / floor).glob("*/**/__init__.py"))
FOR_EVERYBODY = "All of it is for everybody"


def modules_used(file: Path) -> Iterator[Path]:
    """The files without their ending, or the names in a room, that a file imports from."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            where = REPOSITORY / node.module.replace(".", "/")
            yield from (where / alias.name for alias in node.names) if where.is_dir() else [where]


USED = [
    (file, used) for floor in FLOORS for file in (REPOSITORY / floor).rglob("*.py") for used in set(modules_used(file))
]


def used_of(room: Path) -> set[str]:
    return {used.name for file, used in USED if used.parent == room and file.parent != room}


@pytest.mark.parametrize("room", ROOMS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_a_room_names_what_others_use_of_it(room: Path) -> None:
    said = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8"))) or ""
    named = set(re.findall(r"(?<!`)`(\w+)`(?!`)", said))
    assert {name for name in named if not (room / f"{name}.py").is_file()} <= {"lastword"}, "no such module"
    assert FOR_EVERYBODY in said or used_of(room) <= named


def test_the_test_sees_what_is_used() -> None:
    assert {"opening", "cache", "seal"} <= used_of(REPOSITORY / "lastword" / "cache")
    assert "write_script" not in used_of(REPOSITORY / "lastword" / "cache")

"""The page of the libraries' private parts names each that the code uses, in the row of its file."""

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
PAGE = REPOSITORY / "docs" / "private-parts.md"
FLOORS = ("lastword", "bridge", "tasks")
LIBRARIES = ("billiard", "celery", "flower", "kazoo", "kombu", "redis")
PRIVATE = re.compile(r"\b_[a-z]\w+")


def imported(tree: ast.Module) -> Iterator[str]:
    """The modules of the libraries that a file imports from; some of the names may be none."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in LIBRARIES:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in LIBRARIES)


def source(module: str) -> str:
    try:
        found = importlib.util.find_spec(module)
    except (ModuleNotFoundError, ValueError):  # a name in a module; a module that loads lazily
        return ""
    return Path(found.origin).read_text(encoding="utf-8") if found and found.origin else ""


def private_parts(file: Path) -> set[str]:
    """Private names that a file shares with a library it imports from, or that it reads from what is not its own."""
    text = file.read_text(encoding="utf-8")
    tree = ast.parse(text)
    modules = set(imported(tree))
    if not modules:
        return set()
    theirs = {name for module in modules for name in PRIVATE.findall(source(module))}
    used, foreign = set[str](), set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and PRIVATE.fullmatch(node.attr):
            used.add(node.attr)
            is_own = isinstance(node.value, ast.Name) and node.value.id == "self"
            if not is_own and "noqa: SLF001" in text.splitlines()[node.lineno - 1]:
                foreign.add(node.attr)
        elif isinstance(node, ast.ClassDef) and node.bases:
            used |= {one.name for one in node.body if isinstance(one, ast.FunctionDef) and PRIVATE.fullmatch(one.name)}
    return foreign | used & theirs


def test_the_page_names_each_private_part_in_the_row_of_its_file() -> None:
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    missing = {
        (path, name)
        for floor in FLOORS
        for file in (REPOSITORY / floor).rglob("*.py")
        for path in [str(file.relative_to(REPOSITORY))]
        for name in private_parts(file)
        if not any(row.startswith(f"| `{path}`") and re.search(rf"[`.]{name}`", row) for row in rows)
    }
    assert missing == set()


def test_the_test_sees_a_private_part_that_is_replaced_and_one_that_is_read() -> None:
    found = private_parts(REPOSITORY / "lastword" / "broker" / "transport.py")
    assert {"_brpop_start", "_callbacks"} <= found
    assert private_parts(REPOSITORY / "tasks" / "broker" / "remote_control.py") == {"_schedule_bucket_request"}

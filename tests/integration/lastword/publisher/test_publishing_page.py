"""The code in docs/publishing.md: it runs, or, where it needs a web framework, it is Python that names what exists."""

import ast
import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import lastword
from lastword import DeliveryError, Publisher
from servers import Reachable
from tests.commands import REPOSITORY, clean_env
from tests.kafka_helpers import create_topic, read

PAGE = (REPOSITORY / "docs" / "publishing.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def block_with(text: str) -> str:
    [found] = [block for block in BLOCKS if text in block]
    return str(found)


@pytest.mark.parametrize("code", BLOCKS, ids=range(len(BLOCKS)))
def test_every_example_is_python_and_uses_what_there_is(code: str) -> None:
    tree = ast.parse(code)
    compile(tree, "docs/publishing.md", "exec")
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "lastword"]
    assert imported
    assert {name.name for node in imported for name in node.names} <= set(lastword.__all__)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    fields = {keyword.arg for call in calls if ast.unparse(call.func) == "Change" for keyword in call.keywords}
    assert fields <= set(lastword.Change.__struct_fields__)


def test_a_service_that_publishes_gets_no_celery_app_of_ours() -> None:
    imports = "import sys; from lastword import Publisher; print(*{'celery', 'kazoo', 'redis'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", imports], cwd=REPOSITORY, capture_output=True, text=True, timeout=40, check=True
    )
    assert done.stdout.strip() == ""


def test_the_first_example_publishes(kafka_server: Reachable, topic: str, tmp_path: Path) -> None:
    create_topic(kafka_server.address, topic)
    done = subprocess.run(
        [sys.executable, "-c", block_with("with Publisher.from_environment() as publisher:")],
        cwd=tmp_path,
        env=clean_env({"KAFKA_BOOTSTRAP_SERVERS": kafka_server.address, "LASTWORD_TOPIC": topic}),
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second = read(kafka_server.address, topic, 2)
    assert (first.key(), second.key()) == (b"42", b"43")
    assert json.loads(first.value() or b"")["data"]["name"] == "Tea towel, white"
    assert json.loads(second.value() or b"")["deleted"] is True


def test_the_relay_empties_the_outbox_only_after_delivery(kafka_server: Reachable, topic: str) -> None:
    create_topic(kafka_server.address, topic, config={"max.message.bytes": "2000"})
    names: dict[str, Callable[[sqlite3.Connection, Publisher], int]] = {}
    exec(block_with("def relay("), names)  # noqa: S102 - our own page
    relay = names["relay"]
    outbox = sqlite3.connect(":memory:")
    outbox.execute("CREATE TABLE outbox (id INTEGER PRIMARY KEY, product_id, updated_at, version, data)")
    at = "2026-11-02T10:00:00+01:00"
    insert = "INSERT INTO outbox (product_id, updated_at, version, data) VALUES (?, ?, ?, ?)"
    outbox.executemany(insert, [(1, at, 1, '{"a":1}'), (2, at, 2, None)])

    with Publisher({"bootstrap.servers": kafka_server.address, "compression.type": "none"}, topic) as publisher:
        assert relay(outbox, publisher) == 2
        assert relay(outbox, publisher) == 0
        outbox.execute(insert, (3, at, 1, json.dumps("x" * 5_000)))
        with pytest.raises(DeliveryError):
            relay(outbox, publisher)
    assert outbox.execute("SELECT product_id FROM outbox").fetchall() == [(3,)]
    values = [json.loads(record.value() or b"") for record in read(kafka_server.address, topic, 2)]
    assert [(v["product_id"], v.get("data"), v.get("deleted")) for v in values] == [
        (1, {"a": 1}, None),
        (2, None, True),
    ]

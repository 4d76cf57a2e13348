"""``make cdc``: PostgreSQL, Debezium and the flow behind them; then Redis is compared with the database, row by row.

All servers are started here, on free ports, and gone in the end; PostgreSQL comes from the system's packages.
"""

import json
import os
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import psycopg
import redis
from confluent_kafka import KafkaException
from rich.console import Console
from rich.table import Table

from examples.cdc.source import DEADLINE_S, LARGE, SNAPSHOT, Source, SourceError
from examples.demo import BRIDGE, WORKER, DemoError, child, wait_for_commit
from examples.names import Names, write_celery_settings
from examples.watch import Topics
from lastword.process import interrupt
from servers import ServerError, Servers
from servers.connect import Connect, read_properties
from servers.jars import fetch_jars
from servers.postgresql import PostgreSQL, find_postgresql

CONNECTOR: Final = Path(__file__).with_name("connector.properties")
ROWS: Final = 3_000
PER_SECOND: Final = 300
MEANWHILE: Final = 600
SHOWN: Final = 10

KINDS: Final = {"c": "created", "u": "updated", "d": "deleted", "r": "read"}

console = Console()


@dataclass
class Story:
    """What was done, in the order in which it was done."""

    done: list[tuple[str, str]] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)

    def tell(self, what: str, how: str) -> None:
        """Say what was done, and when."""
        self.done.append((what, how))
        console.print(f"{time.monotonic() - self.begun:5.1f} s  {what}: {how}", highlight=False, soft_wrap=True)


def main() -> int:
    """Run it; 0 if Redis equals the database."""
    try:
        with tempfile.TemporaryDirectory(prefix="lastword-cdc-") as directory:
            return run(Path(directory))
    except KeyboardInterrupt:
        console.print("\ninterrupted; everything is stopped")
        return interrupt.EXIT_INTERRUPTED
    except (DemoError, ServerError, SourceError, KafkaException, psycopg.Error, redis.RedisError) as error:
        console.print(str(error), style="red", markup=False, soft_wrap=True)
        return 1


def run(directory: Path) -> int:
    """Start everything, change the database, compare, and stop everything."""
    find_postgresql()
    fetch_jars("connect")
    directory.chmod(0o711)  # where we are root, PostgreSQL runs as another user, who has to enter it
    with ExitStack() as stack:
        with console.status("Starting PostgreSQL, Kafka, ZooKeeper, Redis and Kafka Connect"):
            servers = stack.enter_context(Servers(directory / "servers"))
            postgresql = stack.enter_context(
                PostgreSQL(directory / "postgresql", settings={"wal_level": "logical"}),
            )
            connect = stack.enter_context(Connect(directory / "connect", servers.kafka.address))
        started = (postgresql, connect, *servers)
        console.print(", ".join(f"{server.name} {server.address}" for server in started), soft_wrap=True)
        connector = read_properties(CONNECTOR) | {"database.port": str(postgresql.port)}
        names = Names(topic=f"{connector['topic.prefix']}.public.products")
        os.environ.update(servers.environment | names.environment)
        os.environ.update({"LASTWORD_FORMAT": "debezium", "LASTWORD_ID_FIELD": "id"})
        write_celery_settings(directory, task_default_queue=names.queue)
        with console.status("Starting the worker and the bridge"):
            worker = (*WORKER, "--hostname", names.worker)
            stack.enter_context(child(directory, directory / "worker.log", "celery", *worker, ready=" ready."))
            stack.enter_context(child(directory, directory / "bridge.log", "bridge", *BRIDGE, ready="assigned"))
        source = Source(postgresql.url)
        stack.callback(source.close)
        source.create(ROWS)
        story = Story()
        change(source, connect, connector, story)
        topics = Topics(servers.kafka.address, names.group)
        stack.callback(topics.close)
        wait_for_commit(topics, names.topic)
        story.tell("all is committed", "each record is in Redis, or a dead letter")
        client = stack.enter_context(redis.Redis.from_url(os.environ["REDIS_URL"]))
        wrong = report(source, client, topics, names)
    return 1 if wrong else 0


def change(source: Source, connect: Connect, connector: dict[str, str], story: Story) -> None:
    """Do to the table what is done to tables, while Debezium follows; return when all of it is in Kafka."""
    name, slot = connector["name"], connector["slot.name"]
    with source.written(PER_SECOND) as writer:
        writer.wait_for(MEANWHILE // 2)
        connect.add(name, connector)
        wait_until_it_runs(connect, name)
        source.wait_until_passed_on(slot)
        story.tell("a first snapshot", f"{ROWS} rows, and {writer.count} changes beside it")
    count = source.do("UPDATE products SET name = upper(name) WHERE mod(id, 3) = 0")
    story.tell("updates", f"{count} rows in one transaction")
    count = source.do("DELETE FROM products WHERE id > 2700 AND id < 1000000")
    story.tell("deletions", f"{count} rows in one transaction")
    count = source.do("UPDATE products SET id = id + 10000 WHERE id BETWEEN 2001 AND 2100")
    count += source.do("UPDATE products SET id = id - 10000 WHERE id BETWEEN 12001 AND 12050")
    story.tell("changed primary keys", f"{count}, half of them changed back")
    count = source.do("UPDATE products SET price = price + 1 WHERE id <= %s", LARGE)
    story.tell("large values left as they are", f"{count} rows, of which the log tells only the rest")
    with source.written(PER_SECOND) as writer:
        source.do(SNAPSHOT)
        writer.wait_for(MEANWHILE)
        source.wait_until_read_again(slot)
        story.tell("an incremental snapshot", f"by a signal, and {writer.count} changes beside it")
    with source.written(PER_SECOND) as writer:
        writer.wait_for(MEANWHILE // 4)
        connect.kill()
        writer.wait_for(MEANWHILE // 2)
        connect.start()
        wait_until_it_runs(connect, name)
        writer.wait_for(MEANWHILE)
        story.tell("the connector killed", f"and started again, and {writer.count} changes beside it")
    source.wait_until_passed_on(slot)
    story.tell("all is in Kafka", "to the end of the database's log")


def wait_until_it_runs(connect: Connect, name: str) -> None:
    """Return when the connector runs; ConnectError with its reason when it has failed."""
    end = time.monotonic() + DEADLINE_S
    while not connect.runs(name):
        if time.monotonic() > end:
            raise SourceError(f"connector {name} does not run after {DEADLINE_S:g} s; see {connect.log_file}")
        time.sleep(0.1)


def report(source: Source, client: redis.Redis, topics: Topics, names: Names) -> list[str]:
    """Print what it came to; the rows of which Redis holds something else, as text."""
    rows = source.rows()
    wrong, deleted = compare(client, names.key_prefix, rows)
    kinds = Counter(kind_of(record.value) for record in topics.records(names.topic))
    letters = [record.headers["__lastword.errors.message"].decode() for record in topics.records(names.letters)]
    table = Table(box=None, show_header=False)
    table.add_row("records", ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()))
    table.add_row("dead-lettered", str(len(letters)))
    table.add_row("rows in the database", f"{len(rows)}; in Redis as deleted: {deleted}")
    table.add_row("rows that differ", str(len(wrong)), style="bold red" if wrong else "bold green")
    console.print()
    console.print(table)
    for reason in Counter(letters).most_common(SHOWN):
        console.print(f"   dead letter: {reason[0]}", style="dim", soft_wrap=True, markup=False)
    for one in wrong[:SHOWN]:
        console.print(f"   {one}", style="red", soft_wrap=True, markup=False)
    return wrong


def compare(client: redis.Redis, prefix: str, rows: dict[int, dict[str, Any]]) -> tuple[list[str], int]:
    """The differences between Redis and these rows, and how many products Redis holds as deleted."""
    held: dict[int, tuple[Any, bool]] = {}
    for key in client.scan_iter(f"{prefix}*", count=1_000):
        data, gone = cast("list[bytes | None]", client.hmget(key, "data", "deleted"))
        held[int(key.removeprefix(prefix.encode()))] = (json.loads(data) if data else None, gone == b"1")
    wrong = [
        f"{number}: Redis holds {held.get(number)}, the database {row}"
        for number, row in rows.items()
        if held.get(number) != (row, False)
    ]
    others = {number: what for number, what in held.items() if number not in rows}
    wrong += [f"{n}: Redis holds {what}, the database nothing" for n, what in others.items() if what != (None, True)]
    return wrong, len(others)


def kind_of(value: bytes) -> str:
    """What a record of Debezium tells of, in a word."""
    if not value:
        return "null values after deletions"
    event = json.loads(value)
    again = event["source"]["snapshot"] == "incremental"
    return "read again" if again else KINDS[event["op"]]


if __name__ == "__main__":
    interrupt.run(main)

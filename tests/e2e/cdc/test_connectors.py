"""What Connect and Debezium's own connectors say of each connector's file: they know every name, and take every value.

No database is there, which they find out last. So each says that it cannot connect, and nothing else.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from servers import Reachable
from servers.connect import Connect, Connectors, read_properties
from servers.ports import free_port
from tests.worker_helpers import REPOSITORY

EXAMPLES: Final = REPOSITORY / "examples"
FILES: Final = [
    file
    for file in [*sorted(EXAMPLES.glob("connectors/*.properties")), EXAMPLES / "cdc" / "connector.properties"]
    if "connector.class" in read_properties(file)
]
JARS: Final[dict[str, Connectors]] = {
    "io.debezium.connector.postgresql.PostgresConnector": "connect",
    "io.debezium.connector.mariadb.MariaDbConnector": "connect-mariadb",
    "io.debezium.connector.mysql.MySqlConnector": "connect-others",
    "io.debezium.connector.sqlserver.SqlServerConnector": "connect-others",
    "io.debezium.connector.oracle.OracleConnector": "connect-others",
}
READ_LATER: Final = {
    # by Connect, when it makes a topic
    "topic.creation.default.cleanup.policy",
    "topic.creation.default.partitions",
    "topic.creation.default.replication.factor",
    # by the classes that the files name
    "reselector.reselect.null.values",
    "reselector.type",
    "schema.history.internal.file.filename",
    "schema.history.internal.kafka.bootstrap.servers",
    "schema.history.internal.kafka.topic",
    "transforms.unwrap.replace.null.with.default",
    "value.converter.data.serializer.type",
    "value.converter.json.replace.null.with.default",
    "value.converter.json.schemas.enable",
    "value.converter.serializer.type",
}
"""No connector says that it knows these: a misspelt one is found out by this list alone."""
NO_DATABASE: Final = {"database.hostname"}
"""Of which option a connector says that it cannot connect."""

SOON: Final = {"driver.loginTimeout": "1"}
"""SQL Server's driver tries for 30 s by itself; the others pass over it."""

by_file = pytest.mark.parametrize(
    ("connect", "file"),
    [
        pytest.param(JARS[read_properties(file)["connector.class"]], file, id=f"{file.parent.name}/{file.name}")
        for file in FILES
    ],
    indirect=["connect"],
)


@pytest.fixture(scope="module")
def connect(
    request: pytest.FixtureRequest, kafka_server: Reachable, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Connect]:
    with Connect(tmp_path_factory.mktemp("connect"), kafka_server.address, jars=request.param) as server:
        yield server


@pytest.fixture
def given(file: Path) -> dict[str, str]:
    """What the file says, but for the port: nobody listens on this one."""
    return read_properties(file) | {"database.port": str(free_port())}


@by_file
def test_every_name_is_known_and_every_value_taken(connect: Connect, given: dict[str, str]) -> None:
    told = connect.validate(given | SOON)
    assert unknown(given, told) == set()
    assert refused(told) == NO_DATABASE


@by_file
def test_a_misspelt_one_is_noticed(connect: Connect, given: dict[str, str]) -> None:
    misspelt = {name: f"{given[name]}x" for name in ("decimal.handling.mode", "tasks.max")}
    wrong = given | misspelt | {"decimal.handling.mod": "string"}
    told = connect.validate(wrong)
    assert unknown(wrong, told) == {"decimal.handling.mod"}
    assert refused(told) == misspelt.keys()


def unknown(given: dict[str, str], told: dict[str, list[str]]) -> set[str]:
    """The names of the file that nobody knows."""
    return given.keys() - told.keys() - READ_LATER


def refused(told: dict[str, list[str]]) -> set[str]:
    """The options whose values are wrong."""
    return {name for name, errors in told.items() if errors}

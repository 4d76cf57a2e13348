"""Both databases, and a topic that a relay publishes to."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from examples.shop.tables import Base, open_database
from servers import Reachable
from tests.integration.shop.postgres import Postgres
from tests.integration.shop.topic import versions
from tests.kafka_helpers import create_topic
from tests.programs import POSTGRESQL


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    POSTGRESQL.need()
    with Postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'shop.db'}"
        return
    server: Postgres = request.getfixturevalue("postgres")
    yield server.url
    engine = open_database(server.url)
    Base.metadata.drop_all(engine)
    engine.dispose()


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = open_database(database)
    yield engine
    engine.dispose()


@pytest.fixture
def relaying(kafka_server: Reachable, topic: str, database: str) -> dict[str, str]:
    """The environment of a relay to a topic that is there."""
    create_topic(kafka_server.address, topic, partitions=3)
    return {"KAFKA_BOOTSTRAP_SERVERS": kafka_server.address, "LASTWORD_TOPIC": topic, "SHOP_DATABASE": database}


@pytest.fixture
def published(relaying: dict[str, str]) -> Callable[[], dict[str, list[int]]]:
    """What is on the topic: by product the versions, in their order."""
    return lambda: versions(relaying["KAFKA_BOOTSTRAP_SERVERS"], relaying["LASTWORD_TOPIC"])

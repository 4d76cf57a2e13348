"""The shop's tables: its products, and the outbox, in which each change waits for its publication."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    DateTime,
    Dialect,
    Engine,
    Index,
    Integer,
    String,
    Text,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

Number = BigInteger().with_variant(Integer, "sqlite")


class Moment(TypeDecorator[datetime]):
    """A time in UTC, to the microsecond, of which SQLite keeps no offset."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """As it is stored."""
        return value if value is None or dialect.name != "sqlite" else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """As it is read."""
        return value if value is None or dialect.name != "sqlite" else value.replace(tzinfo=UTC)


class Money(TypeDecorator[Decimal]):
    """An exact amount, as text: SQLite knows only floating point."""

    impl = String(20)
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | None:
        """As it is stored."""
        del dialect
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Decimal | None:
        """As it is read."""
        del dialect
        return None if value is None else Decimal(value)


class Base(DeclarativeBase):
    """The tables."""


class Product(Base):
    """A product. ``version`` grows with every change of it, ``updated_at`` too; an id is never given out again."""

    __tablename__ = "product"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    price: Mapped[Decimal] = mapped_column(Money)
    stock: Mapped[int] = mapped_column(Integer)
    updated_at: Mapped[datetime] = mapped_column(Moment)
    version: Mapped[int] = mapped_column(Number)

    @property
    def data(self) -> dict[str, Any]:
        """What readers of the cache are shown."""
        return {"name": self.name, "price": str(self.price), "stock": self.stock}


class Outbox(Base):
    """A change that is committed and may not be published yet. ``data`` is JSON; None: a deletion, or a mere notice."""

    __tablename__ = "outbox"
    __table_args__ = (Index("outbox_product", "product_id", "id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    product_id: Mapped[int] = mapped_column(Number)
    updated_at: Mapped[datetime] = mapped_column(Moment)
    version: Mapped[int] = mapped_column(Number)
    data: Mapped[str | None] = mapped_column(Text)
    deleted: Mapped[bool] = mapped_column(default=False)


def absolute(url: str) -> str:
    """The same database from whatever folder; ValueError for one that other processes cannot open."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return url
    if parsed.database in {None, "", ":memory:"}:
        raise ValueError(f"given {url!r}; wanted is a database that several processes can open, as sqlite:///shop.db")
    path = str(Path(parsed.database or "").absolute())
    return parsed.set(database=path).render_as_string(hide_password=False)


def open_database(url: str) -> Engine:
    """The database at ``url``, with its tables: ``sqlite:///shop.db``, ``postgresql+psycopg://…``."""
    engine = create_engine(url, pool_pre_ping=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_in_sqlite)
    Base.metadata.create_all(engine)
    return engine


READS = {"reads": True}
"""The execution options of what only reads."""


def _begin_in_sqlite(connection: Connection) -> None:
    # The driver's own transactions begin too late: two that read and then write would fail on each other.
    connection.exec_driver_sql("BEGIN" if connection.get_execution_options().get("reads") else "BEGIN IMMEDIATE")


def _prepare_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's
    connection.isolation_level = None
    connection.execute("PRAGMA busy_timeout = 30000")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")

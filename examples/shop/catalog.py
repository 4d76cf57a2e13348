"""What the shop does to its products: each change commits together with its row of the outbox, or not at all."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session, sessionmaker

from examples.shop.tables import READS, Outbox, Product

TICK = timedelta(microseconds=1)


class UnknownProductError(LookupError):
    """There is no product with this id."""


class Catalog:
    """The products in a database. ``notices``: the outbox says only that a product changed, and has no data."""

    def __init__(self, engine: Engine, *, notices: bool = False) -> None:
        self._writing = sessionmaker(engine, expire_on_commit=False)
        self._reading = sessionmaker(engine.execution_options(**READS), expire_on_commit=False)
        self._notices = notices

    def create(self, name: str, price: Decimal, stock: int) -> Product:
        """Add a product."""
        with self._writing.begin() as session:
            product = Product(name=name, price=price, stock=stock, updated_at=datetime.now(UTC), version=1)
            session.add(product)
            session.flush()  # the database gives it its id
            self._tell(session, product)
        return product

    def change(self, product_id: int, fields: Mapping[str, Any]) -> Product:
        """Change some of a product's fields; UnknownProductError."""
        return self.change_all([(product_id, fields)])[0]

    def change_all(self, changes: Sequence[tuple[int, Mapping[str, Any]]]) -> list[Product]:
        """Change several products, all of them or, with UnknownProductError, none."""
        with self._writing.begin() as session:
            # In the order of their ids, or two of these could wait for each other.
            locked = {one: _locked(session, one) for one in sorted({product_id for product_id, _ in changes})}
            for product_id, fields in changes:
                product = locked[product_id]
                for name, value in fields.items():
                    setattr(product, name, value)
                product.updated_at = _next_time(product)
                product.version += 1
                self._tell(session, product)
        return [locked[product_id] for product_id, _ in changes]

    def delete(self, product_id: int) -> None:
        """Remove a product; UnknownProductError."""
        with self._writing.begin() as session:
            product = _locked(session, product_id)
            version, updated_at = product.version + 1, _next_time(product)
            session.add(Outbox(product_id=product_id, updated_at=updated_at, version=version, deleted=True))
            session.delete(product)

    def tell_all(self) -> int:
        """Tell of every product as it is: Kafka, or Redis, may be new, or have lost something. Returns how many."""
        with self._writing.begin() as session:
            found = list(session.scalars(select(Product).order_by(Product.id).with_for_update()))
            for product in found:
                self._tell(session, product)
        return len(found)

    def products(self, most: int = 1_000) -> list[Product]:
        """The first products, in the order of their ids."""
        with self._reading.begin() as session:
            return list(session.scalars(select(Product).order_by(Product.id).limit(most)))

    def some(self, product_ids: Sequence[int]) -> list[Product]:
        """Those of these products that there are."""
        with self._reading.begin() as session:
            return list(session.scalars(select(Product).where(Product.id.in_(product_ids))))

    def _tell(self, session: Session, product: Product) -> None:
        data = None if self._notices else msgspec.json.encode(product.data).decode()
        session.add(Outbox(product_id=product.id, updated_at=product.updated_at, version=product.version, data=data))


def _locked(session: Session, product_id: int) -> Product:
    """The product, which nobody else changes until this transaction ends: so its outbox is in the order of commits."""
    product = session.get(Product, product_id, with_for_update=True)
    if product is None:
        raise UnknownProductError(f"there is no product {product_id}")
    return product


def _next_time(product: Product) -> datetime:
    """Now, or just after the last change, if the clock was set back since."""
    return max(datetime.now(UTC), product.updated_at + TICK)

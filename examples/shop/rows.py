"""The loader that the shop's workers are given: ``LASTWORD_LOADER=examples.shop.rows:load``, for change notices."""

import os
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy.exc import OperationalError

from examples.shop.catalog import Catalog
from examples.shop.tables import open_database


@cache
def _catalog() -> Catalog:
    return Catalog(open_database(os.environ["SHOP_DATABASE"]))


def load(product_ids: Sequence[str]) -> dict[str, tuple[datetime, int, dict[str, Any]]]:
    """The rows of these products, with the versions that the database has, never a time of our own."""
    try:
        found = _catalog().some([int(product_id) for product_id in product_ids])
    except OperationalError as error:
        raise ConnectionError(str(error)) from error  # no product's fault: it is tried for as long as it takes
    return {str(product.id): (product.updated_at, product.version, product.data) for product in found}

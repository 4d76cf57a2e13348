"""The shop's HTTP interface: its products, the page, and what the page shows.

``uvicorn --factory examples.shop.service:from_environment`` is the service alone, without the page's view and buttons.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlalchemy.exc import OperationalError

from examples.shop.catalog import Catalog, UnknownProductError
from examples.shop.tables import Product, open_database

PAGE: Final = Path(__file__).with_name("page")
EVERY_S: Final = 0.25

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
Price = Annotated[
    Decimal,
    Field(ge=0, max_digits=12, decimal_places=2, allow_inf_nan=False),
    AfterValidator(lambda price: price.quantize(Decimal("0.01"))),
]
Stock = Annotated[int, Field(ge=0, le=10**9)]
Number = Annotated[int, Field(ge=1, lt=2**63)]
View = Callable[[], dict[str, Any]]
"""What the page is shown just now."""


class Strict(BaseModel):
    """A body of a request; a field that does not exist is an error."""

    model_config = ConfigDict(extra="forbid")


class NewProduct(Strict):
    """A product to create."""

    name: Name
    price: Price
    stock: Stock


class Fields(Strict):
    """What to change of a product; what is left out stays as it is."""

    name: Name | None = None
    price: Price | None = None
    stock: Stock | None = None

    def given(self) -> dict[str, Any]:
        """The fields that are to change."""
        return self.model_dump(exclude_none=True)


class OneOfMany(Fields):
    """A change among several that happen together."""

    id: Number

    def given(self) -> dict[str, Any]:
        """The fields that are to change."""
        return self.model_dump(exclude_none=True, exclude={"id"})


def create_service(catalog: Catalog, view: View | None = None, buttons: APIRouter | None = None) -> FastAPI:
    """The service; with the page where there is a ``view`` for it, and with what its ``buttons`` do."""
    app = FastAPI(title="Shop", docs_url="/docs", redoc_url=None)
    app.state.catalog = catalog
    app.add_exception_handler(UnknownProductError, _not_found)
    app.add_exception_handler(OperationalError, _unavailable)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.post("/products", status_code=201)(create)
    app.get("/products")(products)
    app.patch("/products")(change_many)
    app.patch("/products/{product_id}")(change)
    app.delete("/products/{product_id}", status_code=204)(delete)
    if buttons is not None:
        app.include_router(buttons)
    if view is not None:
        app.state.view = view
        app.state.closing = False
        app.get("/events")(events)
        app.mount("/", StaticFiles(directory=PAGE, html=True))
    return app


def from_environment() -> FastAPI:
    """The service on the database of SHOP_DATABASE."""
    notices = os.environ.get("SHOP_NOTICES", "") not in {"", "0"}
    return create_service(Catalog(open_database(os.environ["SHOP_DATABASE"]), notices=notices))


def _catalog(request: Request) -> Catalog:
    found: Catalog = request.app.state.catalog
    return found


Products = Annotated[Catalog, Depends(_catalog)]


# Plain functions: FastAPI runs them in threads, for the database's driver waits.


def create(product: NewProduct, catalog: Products) -> dict[str, Any]:
    """Create a product."""
    return _shown(catalog.create(product.name, product.price, product.stock))


def products(catalog: Products) -> list[dict[str, Any]]:
    """The first thousand products."""
    return [_shown(product) for product in catalog.products()]


def change(product_id: Number, fields: Fields, catalog: Products) -> dict[str, Any]:
    """Change a product."""
    return _shown(catalog.change(product_id, fields.given()))


def change_many(changes: list[OneOfMany], catalog: Products) -> list[dict[str, Any]]:
    """Change several products, all or none."""
    return [_shown(product) for product in catalog.change_all([(one.id, one.given()) for one in changes])]


def delete(product_id: Number, catalog: Products) -> None:
    """Delete a product."""
    catalog.delete(product_id)


async def events(request: Request) -> StreamingResponse:
    """What the page shows, several times a second, as server-sent events."""
    view: View = request.app.state.view

    async def stream() -> AsyncIterator[bytes]:
        while not (request.app.state.closing or await request.is_disconnected()):
            shown = await asyncio.to_thread(view)
            yield b"data: " + msgspec.json.encode(shown) + b"\n\n"
            await asyncio.sleep(EVERY_S)

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def _shown(product: Product) -> dict[str, Any]:
    return {"id": product.id, **product.data, "updated_at": product.updated_at, "version": product.version}


async def _not_found(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=404)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """Without what was given, which may be what JSON, or UTF-8, cannot say."""
    errors = error.errors() if isinstance(error, RequestValidationError) else []
    told = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in errors]
    return JSONResponse({"detail": "; ".join(told).encode(errors="replace").decode()}, status_code=422)


async def _unavailable(_: Request, error: Exception) -> JSONResponse:
    cause = getattr(error, "orig", None) or error
    return JSONResponse({"detail": f"the database cannot be used: {cause}"}, status_code=503)

"""The service by its HTTP interface, as a process on a real database: what it changes, what it refuses."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from examples.shop.tables import Outbox, Product
from tests.integration.shop.postgres import Postgres
from tests.integration.shop.running import Service, service
from tests.waiting import wait_until


@pytest.fixture
def shop(database: str, engine: Engine, tmp_path: Path) -> Iterator[Service]:
    del engine  # it has made the tables
    with service(tmp_path, database) as running:
        yield running


def outbox(engine: Engine) -> list[tuple[int, int, bool, object]]:
    with Session(engine) as session:
        rows = session.scalars(select(Outbox).order_by(Outbox.id))
        return [(r.product_id, r.version, r.deleted, None if r.data is None else json.loads(r.data)) for r in rows]


def stored(engine: Engine) -> dict[int, tuple[str, str, int, int]]:
    with Session(engine) as session:
        return {p.id: (p.name, str(p.price), p.stock, p.version) for p in session.scalars(select(Product))}


MUG = {"name": "Mug", "price": "8.90", "stock": 5}


def test_each_change_commits_with_its_row_of_the_outbox(shop: Service, engine: Engine) -> None:
    created = shop.ask("POST", "/products", MUG)
    assert created.status == 201
    number = created.body["id"]
    changed = shop.ask("PATCH", f"/products/{number}", {"price": "9.50"})
    assert (changed.status, changed.body["version"], changed.body["price"]) == (200, 2, "9.50")
    assert changed.body["updated_at"] > created.body["updated_at"]
    assert stored(engine) == {number: ("Mug", "9.50", 5, 2)}
    assert shop.ask("DELETE", f"/products/{number}").status == 204
    assert stored(engine) == {}
    assert outbox(engine) == [
        (number, 1, False, MUG),
        (number, 2, False, MUG | {"price": "9.50"}),
        (number, 3, True, None),
    ]


def test_a_price_is_stored_with_its_cents(shop: Service, engine: Engine) -> None:
    number = shop.ask("POST", "/products", MUG | {"price": "1E+3"}).body["id"]
    assert stored(engine)[number][1] == "1000.00"


def test_an_id_is_never_given_out_again(shop: Service) -> None:
    first = shop.ask("POST", "/products", MUG).body["id"]
    shop.ask("DELETE", f"/products/{first}")
    assert shop.ask("POST", "/products", MUG).body["id"] > first


def test_many_change_together_or_not_at_all(shop: Service, engine: Engine) -> None:
    one, other = (shop.ask("POST", "/products", MUG).body["id"] for _ in range(2))
    before = outbox(engine)
    answer = shop.ask("PATCH", "/products", [{"id": one, "stock": 1}, {"id": other + 1, "stock": 1}])
    assert answer == (404, {"detail": f"there is no product {other + 1}"})
    assert (outbox(engine), stored(engine)[one][2]) == (before, 5)
    answer = shop.ask(
        "PATCH", "/products", [{"id": other, "stock": 1}, {"id": one, "stock": 2}, {"id": one, "stock": 3}]
    )
    assert [(product["id"], product["stock"]) for product in answer.body] == [(other, 1), (one, 3), (one, 3)]
    assert [row[:2] for row in outbox(engine)[len(before) :]] == [(other, 2), (one, 2), (one, 3)]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("PATCH", "/products/999", b'{"stock": 1}', 404, "there is no product 999"),
        ("DELETE", "/products/999", None, 404, "there is no product 999"),
        ("POST", "/products", b'{"name": "Mug", "price": -1, "stock": 1}', 422, "greater than or equal to 0"),
        ("POST", "/products", b'{"name": "Mug", "price": "1.999", "stock": 1}', 422, "2 decimal places"),
        ("POST", "/products", b'{"name": "", "price": 1, "stock": 1}', 422, "at least 1 character"),
        ("POST", "/products", b'{"name": "Mug", "price": 1, "stock": -1}', 422, "greater than or equal to 0"),
        ("POST", "/products", b'{"name": "Mug", "price": 1, "stock": 1, "colour": "red"}', 422, "Extra inputs"),
        ("POST", "/products", b'{"name": "Mug"', 422, "JSON decode error"),
        ("POST", "/products", b"[]", 422, "valid dictionary"),
        ("PATCH", "/products/one", b'{"stock": 1}', 422, "valid integer"),
        ("PATCH", "/products", b'[{"stock": 1}]', 422, "Field required"),
        ("PATCH", "/products/99999999999999999999", b'{"stock": 1}', 422, "less than"),
        ("PATCH", "/products", b'[{"id": 99999999999999999999, "stock": 1}]', 422, "less than"),
        ("POST", "/products", b'{"name": "Mug", "price": NaN, "stock": 1}', 422, "finite number"),
        ("POST", "/products", b'{"name": "Mug", "price": 1e999, "stock": 1}', 422, "price"),
        ("POST", "/products", b'{"name": "M\\u0000g", "price": 1, "stock": 1}', 422, "match pattern"),
        ("POST", "/products", b'{"name": "\\ud800", "price": 1, "stock": 1}', 422, "name"),
    ],
)
def test_what_is_wrong_is_refused_with_a_message_and_nothing_is_written(
    shop: Service, engine: Engine, method: str, path: str, body: bytes | None, status: int, said: str
) -> None:
    answer = shop.ask(method, path, raw=body)
    assert answer.status == status
    assert said in json.dumps(answer.body)
    assert (stored(engine), outbox(engine)) == ({}, [])


def test_in_the_form_of_notices_the_outbox_has_no_data(database: str, engine: Engine, tmp_path: Path) -> None:
    with service(tmp_path, database, SHOP_NOTICES="1") as shop:
        number = shop.ask("POST", "/products", MUG).body["id"]
    assert outbox(engine) == [(number, 1, False, None)]


def test_without_its_database_it_says_so_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    with Postgres() as server, service(tmp_path, server.url) as shop:
        number = shop.ask("POST", "/products", MUG).body["id"]
        server.kill()
        answer = shop.ask("PATCH", f"/products/{number}", {"stock": 1})
        assert answer.status == 503
        assert "the database cannot be used" in answer.body["detail"]
        server.start()
        wait_until(lambda: shop.ask("PATCH", f"/products/{number}", {"stock": 1}).status == 200, what="a change")

"""Writes product-changes.jsonl: what a shop's management service would emit in a quarter of an hour. Always the same.

python examples/make_changes.py > examples/product-changes.jsonl
"""

import json
import random
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

PRODUCTS = 300
CHANGES = 3_000
BEGIN = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
OFFICE = timezone(timedelta(hours=1))
KINDS = ("Espresso cups", "Kettle", "Tea towel", "Bread knife", "Chopping board", "Carafe", "Apron", "Mortar")
COLOURS = ("white", "black", "olive", "sand", "红色", "blå")

INVALID = (
    '{"product_id": 17, "updated_at": "2026-11-02T09:03:11.204", "sequence": 9, "data": {"price": "8.90"}}',
    '{"product_id": 23, "updated_at": 1793610191, "sequence": 11, "data": {"price": "12.50"}}',
    '{"product_id": 42, "updated_at": "2026-11-02T09:09:40.118+01:00", "sequence": 7, "data": {"price": ',
)


def main() -> None:
    """Print the changes, one JSON object a line."""
    chance = random.Random(42)
    rows: dict[int, dict[str, Any]] = {}
    changes: list[str] = []
    now = BEGIN
    while len(changes) < CHANGES:
        now += timedelta(milliseconds=chance.randint(40, 600))
        if chance.random() < 0.02:
            # A flash sale: one product's stock changes with every order.
            product = chance.choice((42, 42, 42, chance.randrange(1, PRODUCTS + 1)))
            for _ in range(chance.randint(20, 60)):
                now += timedelta(milliseconds=chance.randint(1, 12))
                changes.append(change(chance, rows, product, now, deleted=False))
        else:
            product = chance.randrange(1, PRODUCTS + 1)
            changes.append(change(chance, rows, product, now, deleted=chance.random() < 0.03))
    for line in late_and_repeated(chance, changes[:CHANGES]):
        print(line)


def change(
    chance: random.Random, rows: dict[int, dict[str, Any]], product: int, now: datetime, *, deleted: bool
) -> str:
    """Change one row of the shop's database, and return the record that tells of it."""
    row = rows.setdefault(product, {"version": 0, "stock": 100, "price": chance.randint(300, 9_900)})
    row["version"] += 1
    row["stock"] = row["stock"] - chance.choice((1, 1, 2, 3)) if row["stock"] > 3 else 150
    if chance.random() < 0.2:
        row["price"] = max(100, row["price"] + chance.randint(-200, 250))
    record: dict[str, Any] = {
        "product_id": product,
        "updated_at": now.astimezone(OFFICE).isoformat(timespec="microseconds"),
        "sequence": row["version"],
    }
    if deleted:
        record["deleted"] = True
    else:
        record["data"] = {
            "name": f"{KINDS[product % len(KINDS)]}, {COLOURS[product % len(COLOURS)]}",
            "price": f"{row['price'] / 100:.2f}",
            "currency": "EUR",
            "stock": row["stock"],
        }
    return json.dumps(record, ensure_ascii=False)


def late_and_repeated(chance: random.Random, changes: list[str]) -> list[str]:
    """Return the changes as a service with several threads and retries emits them, with a few that are broken."""
    places: list[tuple[float, str]] = []
    for place, line in enumerate(changes):
        late = chance.randint(2, 400) if chance.random() < 0.05 else 0
        places.append((place + late, line))
        if chance.random() < 0.03:
            places.append((place + late + chance.randint(1, 200), line))
    lines = [line for _, line in sorted(places, key=lambda item: item[0])]
    for number, broken in enumerate(INVALID, 1):
        lines.insert(number * len(lines) // 4, broken)
    return lines


if __name__ == "__main__":
    main()

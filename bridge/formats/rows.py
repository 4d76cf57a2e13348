"""What the formats that carry rows of a database have in common."""

from typing import Final

import msgspec

from bridge.change import Change
from tasks.fields import read_json, shown

ROW: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ID: Final[msgspec.json.Decoder[str | int]] = msgspec.json.Decoder(str | int)


def id_in(row: dict[str, msgspec.Raw] | None, id_field: str) -> str | int | None:
    """The product id in a row; None where there is no such column. ValueError where it is neither text nor number."""
    if row is None or id_field not in row:
        return None
    return read_json(bytes(row[id_field]), _ID, f"column {shown(id_field)}")


def needed_id(row: dict[str, msgspec.Raw] | None, id_field: str) -> str | int:
    """The product id in a row, or ValueError."""
    found = id_in(row, id_field)
    if found is None:
        columns = ", ".join(sorted(row or {})) or "none"
        raise ValueError(
            f"the row has no column {shown(id_field)}, the product id by LASTWORD_ID_FIELD; it has {columns:.200}"
        )
    return found


def changes_of(
    row: dict[str, msgspec.Raw],
    before: dict[str, msgspec.Raw] | None,
    id_field: str,
    data: msgspec.Raw,
    *,
    updated_at: str | int | None,
    position: int | None = None,
) -> list[Change]:
    """The changes that a written row tells of: of its product, and where it had another id ``before``, of that one."""
    product_id, former = needed_id(row, id_field), id_in(before, id_field)
    changes = [Change(product_id=product_id, updated_at=updated_at, position=position, data=data)]
    if former is not None and former != product_id:
        changes.insert(0, deletion_of(former, updated_at=updated_at, position=position))
    return changes


def deletion_of(product_id: str | int, *, updated_at: str | int | None, position: int | None = None) -> Change:
    """The change that takes a product away."""
    return Change(product_id=product_id, updated_at=updated_at, position=position, deleted=True)

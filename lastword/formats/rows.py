"""What the formats that carry rows of a database have in common: which columns are the id, and whether all is told."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Final, NamedTuple, Self

import msgspec

from lastword.contract.change import Change
from lastword.contract.fields import entity_id_of, read_json, shown
from lastword.contract.record import Rules
from lastword.contract.version import APART, Position

Row = Mapping[str, msgspec.Raw]

ROW: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ANY: Final[msgspec.json.Decoder[object]] = msgspec.json.Decoder()


class IdColumns(NamedTuple):
    """The columns that are the entity id: one, whose value it is, or several."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, rules: Rules) -> Self:
        """Those of the setting, whose names have commas between them."""
        return cls(tuple(name.strip() for name in rules.id_field.split(",")))

    def __str__(self) -> str:
        return ", ".join(map(shown, self.names))

    def in_row(self, row: Row | None) -> str | int | None:
        """The entity id in a row; None where a column is missing or null. ValueError where it is no text or number.

        Of several columns ``%2C`` and ``%25`` stand for a comma and a percent sign in a value, and a comma between two:
        the id of (1, "a,b") is ``1,a%2Cb``.
        """
        if row is None:
            return None
        values = [_value(row[name], name) if name in row else None for name in self.names]
        if len(values) == 1:
            return values[0]
        if None in values:
            return None
        return ",".join(str(value).replace("%", "%25").replace(",", "%2C") for value in values)

    def needed(self, row: Row | None) -> str | int:
        """The entity id in a row, or ValueError."""
        entity_id = self.in_row(row)
        if entity_id is None:
            columns = ", ".join(sorted(row or {})) or "none"
            null = [name for name in self.names if name in (row or {})]
            missing = next((name for name in self.names if name not in (row or {})), null[-1] if null else "")
            what = "no column" if missing not in (row or {}) else "no value in column"
            raise ValueError(
                f"the row has {what} {shown(missing)}, the product id by LASTWORD_ID_FIELD; it has {columns:.200}"
            )
        return entity_id

    def refuse_part_of(self, key: Iterable[str] | None) -> None:
        """ValueError where these are only a part of the record's own key: rows that differ in the rest would be one."""
        columns = list(key or ())
        if frozenset(columns) > frozenset(self.names):
            raise ValueError(
                f"LASTWORD_ID_FIELD names only {self} of the table's key, so that rows which differ in the rest would "
                f"become one product; set LASTWORD_ID_FIELD={','.join(columns):.200}"
            )


def _value(raw: msgspec.Raw, name: str) -> str | int | None:
    value = read_json(bytes(raw), _ANY, f"column {shown(name)}")
    if value is None or (isinstance(value, (str, int)) and not isinstance(value, bool)):
        return value
    if isinstance(value, dict) and value.keys() == {"scale", "value"}:
        raise ValueError(
            f"column {shown(name)} is a decimal of any scale, {shown(bytes(raw))}, and no product id: set "
            "decimal.handling.mode=string at the connector"
        )
    raise ValueError(f"column {shown(name)} is neither text nor an integer, and no product id: {shown(bytes(raw))}")


def state_of(row: Row, data: msgspec.Raw, rules: Rules, untold: Iterable[str] = ()) -> msgspec.Raw | msgspec.UnsetType:
    """The row, if it is whole; else nothing, so that it is loaded. ValueError where there is no loader.

    ``untold``: columns that the source says it has left out. LASTWORD_ROW_COLUMNS names those that a row must have.
    """
    untold = [*untold, *(name for name in rules.columns if name not in row)]
    if not untold:
        return data
    if rules.notices:
        return msgspec.UNSET
    raise ValueError(
        f"{', '.join(map(shown, untold)):.200} did not change and is left out, so that this is not the whole row. Let "
        "the source tell all columns (PostgreSQL: Debezium's ReselectColumnsPostProcessor, or REPLICA IDENTITY FULL; "
        "MySQL: binlog_row_image=FULL, and no filter of columns), or configure a loader"
    )


def former_id(row: Row, before: Row | None, ids: IdColumns) -> str | int | None:
    """The id that the row had, if it was another one; ``before`` has the columns that changed.

    None also where that one cannot be an entity's: then there is nothing to take away.
    """
    former = None if before is None else ids.in_row({**row, **before})
    with suppress(ValueError):
        if former is not None and entity_id_of(former) != entity_id_of(ids.needed(row)):
            return former
    return None


def moved(former: str | int, change: Change, rules: Rules) -> list[Change]:
    """The changes of a row that had another id before: the former entity is gone.

    By the source's own position, which counts in all partitions, that is all; and by the offset, where the table is in
    one. Else the former entity's records may be in another partition, and both are to be loaded, whatever is held.
    ValueError where there is no loader.
    """
    gone = deletion_of(former, updated_at=change.updated_at, position=change.position)
    if isinstance(change.position, tuple) or rules.one_partition:
        return [gone, change]
    if rules.notices:
        return [apart(gone), apart(change)]
    raise ValueError(
        f"the row's id changed from {shown(former)} to {shown(change.product_id)}, and offsets of two partitions order "
        "nothing. Let the source write the whole table into one partition (Maxwell: producer_partition_by=table or "
        "database; Canal: canal.mq.partitionHash with the table's name alone; Debezium: message.key.columns with the "
        "product id does it too), and set LASTWORD_TABLE_IN_ONE_PARTITION=true; TiCDC: enable-tidb-extension=true; or "
        "configure a loader"
    )


def placed(change: Change, ids: IdColumns, key: Iterable[str] | None, rules: Rules) -> Change:
    """The change as it is, or apart: where an entity's records follow another key than its id, to any partition."""
    columns = frozenset(key or ())
    spread = bool(columns) and not columns >= frozenset(ids.names) and isinstance(change.position, int)
    return apart(change) if spread and rules.notices and not rules.one_partition else change


def apart(change: Change) -> Change:
    """The change, of which nothing tells where among the others of its entity it belongs: its row is to be loaded."""
    if not isinstance(change.position, int):
        return change
    return msgspec.structs.replace(change, position=(APART, change.position), data=msgspec.UNSET)


def deletion_of(
    entity_id: str | int, *, updated_at: datetime | str | int | None, position: Position | None = None
) -> Change:
    """The change that takes an entity away.

    It comes right before what else a log has at this ``position``: what is written there may be of the same entity.
    """
    if isinstance(position, tuple):
        position = position[0], max(0, position[1] - 1)
    return Change(product_id=entity_id, updated_at=updated_at, position=position, deleted=True)

"""Whatever a record holds, it is an update, a tombstone, a notice, or invalid for a reason that a person can read."""

import json
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from lastword.contract.record import VERSION_HEADER, InvalidUpdateError, KeyForm, Kind, Rules, Update, decode
from lastword.contract.version import VERSION_LIMIT, Version

# How long an example takes says more about the machine's other tenants than about the contract.

NOW_S = 1_763_800_000.0
FIELDS = ["product_id", "updated_at", "sequence", "data", "deleted"]

Headers = Sequence[tuple[str, bytes | None]]

# Lone surrogates too: json.dumps writes them as escapes.
any_text = st.text(st.characters(codec=None), max_size=20)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=5,
)
times = st.one_of(
    st.sampled_from(
        [
            "2025-11-22T09:26:40.000123+01:00",
            "2016-12-31 23:59:60z",
            "2025-11-22T09:26:40",
            "2025-02-30T09:26:40Z",
            "9999-12-31T23:59:60-23:59",
            "0001-01-01T00:00:00+23:59",
        ]
    ),
    st.datetimes().map(lambda time: f"{time.isoformat()}Z"),
    st.integers(10**11, 1_763_800_000_000),
    st.integers(-(10**20), 10**20),
)
near_misses = {
    "product_id": st.text(max_size=600) | st.integers() | st.just("42"),
    "updated_at": times,
    "sequence": st.integers(-5, 2**53 + 5) | st.integers(2**53 - 2, 2**53 + 2),
    "data": any_json,
    "deleted": st.booleans() | st.just("true"),
}
objects = st.fixed_dictionaries(
    {}, optional={name: values | any_json for name, values in near_misses.items()} | {"unknown": any_json}
)
nearly_sound = st.fixed_dictionaries(
    {"product_id": st.just("42"), "updated_at": st.integers(10**11, 1_763_800_000_000)},
    optional={"sequence": st.integers(0, 2**53), "data": any_json, "deleted": st.booleans(), "unknown": any_json},
)
json_values = (nearly_sound | objects | any_json).flatmap(
    lambda value: st.sampled_from(
        [
            json.dumps(value).encode(),
            json.dumps(value, indent=2).encode(),
            json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"),
        ]
    )
)
# Names and values of ours, put together without regard for JSON: repeated fields, half objects, other encodings.
fragments = st.lists(
    st.sampled_from([*(f'"{name}":'.encode() for name in FIELDS), b"{", b"}", b"[", b"]", b",", b"null", b"true"])
    | st.sampled_from(
        [b"1763800000000", b'"2025-11-22T09:26:40Z"', b'"42"', b'"\xff"', rb'"\ud800"', b" ", b"\xef\xbb\xbf"]
    )
    | st.binary(max_size=3),
    max_size=12,
).map(b"".join)
pairs = st.lists(
    st.tuples(
        st.sampled_from(FIELDS), st.sampled_from(["null", "true", "42", '"42"', "1763800000000", "{ }", r'"\ud800"'])
    ),
    max_size=8,
).map(lambda given: ("{" + ",".join(f'"{name}": {text}' for name, text in given) + "}").encode())
values = json_values | st.none() | json_values | fragments | pairs | st.binary(max_size=50)

keys = (
    st.none()
    | st.just(b"42")
    | st.sampled_from([b"42", b'"42"', b"", bytes(8), bytes(7) + b"*"])
    | st.binary()
    | any_json.map(lambda key: json.dumps(key).encode())
)
header_texts = (
    st.none()
    | st.binary(max_size=20)
    | times.map(lambda time: str(time).encode())
    | st.builds(Version, st.integers(0, 2**53 + 1), st.integers(0, 2**53 + 1)).map(
        lambda version: str(version).encode()
    )
)
headers = st.lists(
    st.tuples(st.sampled_from(["updated_at", "sequence", VERSION_HEADER]) | any_text, header_texts), max_size=4
)
rules = st.builds(
    Rules,
    key_form=st.sampled_from(KeyForm),
    key_must_agree=st.booleans(),
    future_limit_s=st.sampled_from([0.0, 86_400.0, 1e12, float("inf")]),
    notices=st.booleans(),
    tombstone_time_from_record=st.booleans(),
)
offsets = st.integers(0, VERSION_LIMIT - 1)
timestamps = st.none() | st.integers(-1, 2 * 10**12) | st.integers(-(2**63), 2**63 - 1)


@settings(max_examples=300)
@given(key=keys, value=values, headers=headers, offset=offsets, timestamp_ms=timestamps, rules=rules)
@example(key=b"42", value=b"[" * 10**5, headers=[], offset=0, timestamp_ms=None, rules=Rules())
@example(key=b"9" * 10**5, value=None, headers=[], offset=0, timestamp_ms=None, rules=Rules(key_form=KeyForm.JSON))
@example(key=None, value=b'{"sequence":' + b"9" * 10**5 + b"}", headers=[], offset=0, timestamp_ms=None, rules=Rules())
def test_every_record_is_understood_or_refused_with_a_reason(
    *, key: bytes | None, value: bytes | None, headers: Headers, offset: int, timestamp_ms: int | None, rules: Rules
) -> None:
    try:
        (update,) = decode(
            key=key,
            value=value,
            headers=headers,
            offset=offset,
            timestamp_ms=timestamp_ms,
            rules=rules,
            now=lambda: NOW_S,
        )
    except InvalidUpdateError as error:
        event("invalid")
        reason = str(error)
        assert 10 < len(reason) < 600
        assert reason.isprintable()
    else:
        event(update.kind)
        _check(update, value, rules)


def _check(update: Update, value: bytes | None, rules: Rules) -> None:
    assert 1 <= len(update.entity_id.encode()) <= 512
    assert 0 <= update.version.updated_at_us < VERSION_LIMIT
    assert 0 <= update.version.sequence < VERSION_LIMIT
    assert update.version.updated_at_us / 1e6 <= NOW_S + rules.future_limit_s
    assert Version.parse(str(update.version)) == update.version
    if update.kind is Kind.UPDATE:
        assert update.data is not None
        assert value is not None
        assert update.data in value
        assert update.data.decode().encode() == update.data
        assert json.dumps(json.loads(update.data)) == json.dumps(json.loads(value)["data"])
    else:
        assert update.data is None
        assert update.deleted is (update.kind is Kind.TOMBSTONE)
        assert update.deleted or rules.notices
    if value is None:
        assert update.kind is Kind.TOMBSTONE


representable_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(
    entity_id=st.text(min_size=1, max_size=128) | st.integers(),
    time_ms=st.integers(10**11, 1_763_800_000_000),
    sequence=st.none() | st.integers(0, VERSION_LIMIT - 1),
    data=representable_json,
    deleted=st.none() | st.booleans(),
    offset=offsets,
    ascii_only=st.booleans(),
    indent=st.none() | st.integers(0, 3),
)
def test_what_a_producer_writes_is_what_is_understood(
    *,
    entity_id: str | int,
    time_ms: int,
    sequence: int | None,
    data: object,
    deleted: bool | None,
    offset: int,
    ascii_only: bool,
    indent: int | None,
) -> None:
    given = {"product_id": entity_id, "updated_at": time_ms, "sequence": sequence, "data": data, "deleted": deleted}
    value = json.dumps(given, ensure_ascii=ascii_only, indent=indent).encode()
    (update,) = decode(
        key=str(entity_id).encode(),
        value=value,
        headers=[],
        offset=offset,
        timestamp_ms=None,
        rules=Rules(),
        now=lambda: NOW_S,
    )
    assert update.entity_id == str(entity_id)
    assert update.version == (time_ms * 1_000, offset if sequence is None else sequence)
    assert update.deleted is bool(deleted)
    if update.data is None:
        assert deleted
    else:
        assert json.loads(update.data) == data


versions = st.builds(Version, st.integers(0, VERSION_LIMIT - 1), st.integers(0, VERSION_LIMIT - 1))


@given(version=versions)
def test_a_version_survives_its_text(version: Version) -> None:
    assert Version.parse(str(version)) == version


@given(text=st.from_regex(r"[0-9]{1,17}[-+ ][0-9]{1,17}", fullmatch=True) | st.text())
def test_a_text_is_the_text_of_its_version_or_none(text: str) -> None:
    try:
        version = Version.parse(text)
    except ValueError as error:
        assert str(error).isprintable()  # noqa: PT017
    else:
        assert str(version) == text
        assert max(version) < VERSION_LIMIT


@given(unordered=st.lists(versions, min_size=2))
def test_versions_are_ordered_by_time_then_sequence(unordered: list[Version]) -> None:
    for earlier, later in pairwise(sorted(unordered)):
        assert earlier.updated_at_us <= later.updated_at_us
        assert earlier.updated_at_us < later.updated_at_us or earlier.sequence <= later.sequence

"""Golden cases: which product a record is about, by its value and by its key."""

import pytest

from lastword.contract.record import InvalidUpdateError, KeyForm, Kind, Rules, Update, decode

HEADERS = [("updated_at", b"1763800000000")]
DEFAULT = Rules()
IGNORING_KEYS = Rules(key_must_agree=False)
REST = '"updated_at": 1763800000000, "data": {"stock": 1}'
NAMELESS = f"{{{REST}}}".encode()


def _decode(value: bytes | None, key: bytes | None = b"42", rules: Rules = DEFAULT) -> Update:
    (update,) = decode(
        key=key, value=value, headers=HEADERS, offset=7, timestamp_ms=None, rules=rules, now=lambda: 1_763_800_000.0
    )
    return update


def _reason(value: bytes | None, key: bytes | None = b"42", rules: Rules = DEFAULT) -> str:
    with pytest.raises(InvalidUpdateError) as invalid:
        _decode(value, key, rules)
    reason = str(invalid.value)
    assert reason.isprintable()
    assert len(reason) < 600
    return reason


def _named(entity_id: str) -> bytes:
    return f'{{"product_id": {entity_id}, {REST}}}'.encode()


@pytest.mark.parametrize(
    ("spelled", "entity_id"),
    [
        ('"42"', "42"),
        ("42", "42"),
        ("-42", "-42"),
        ("-0", "0"),
        ("0", "0"),
        ("9" * 512, "9" * 512),
        ('" "', " "),
        ('"/../"', "/../"),
        (r'"a\u0000b"', "a\x00b"),
        (r'"\ud83d\ude00"', "😀"),
        ('"😀"', "😀"),
        ('"' + "x" * 512 + '"', "x" * 512),
        ('"' + "é" * 256 + '"', "é" * 256),
        ('"42", "product_id": "43"', "43"),
        ('"null"', "null"),
    ],
)
def test_entity_ids(spelled: str, entity_id: str) -> None:
    assert _decode(_named(spelled), key=None).entity_id == entity_id
    assert _decode(_named(spelled), key=entity_id.encode()).entity_id == entity_id
    assert _decode(NAMELESS, key=entity_id.encode()).entity_id == entity_id


@pytest.mark.parametrize(
    ("spelled", "reason"),
    [
        ('""', "has 0 bytes"),
        ('"' + "x" * 513 + '"', "has 513 bytes in UTF-8: 1 to 512 are allowed"),
        ('"' + "é" * 257 + '"', "has 514 bytes"),
        ("9" * 513, "has 513 bytes"),
        ("9" * 10**6, "out of range - at `$.product_id`"),
        ("42.0", "got `float` - at `$.product_id`"),
        ("4e1", "got `float` - at `$.product_id`"),
        ("true", "got `bool` - at `$.product_id`"),
        ("false", "got `bool` - at `$.product_id`"),
        ('["42"]', "got `array` - at `$.product_id`"),
        ('{"id": 42}', "got `object` - at `$.product_id`"),
        (r'"\ud800"', "half of a surrogate pair"),
    ],
)
def test_unusable_entity_ids(spelled: str, reason: str) -> None:
    assert reason in _reason(_named(spelled), key=None)


@pytest.mark.parametrize(
    ("form", "key", "entity_id"),
    [
        (KeyForm.TEXT, b"42", "42"),
        (KeyForm.TEXT, b'"42"', '"42"'),
        (KeyForm.TEXT, b"null", "null"),
        (KeyForm.TEXT, " schön ".encode(), " schön "),
        (KeyForm.JSON, b'"42"', "42"),
        (KeyForm.JSON, b"42", "42"),
        (KeyForm.JSON, b" 42\n", "42"),
        (KeyForm.JSON, rb'"\u0034\u0032"', "42"),
        (KeyForm.INT64, (42).to_bytes(8, "big"), "42"),
        (KeyForm.INT64, b"\xff" * 8, "-1"),
        (KeyForm.INT64, b"\x80" + bytes(7), "-9223372036854775808"),
    ],
)
def test_keys(form: KeyForm, key: bytes, entity_id: str) -> None:
    rules = Rules(key_form=form)
    assert _decode(NAMELESS, key=key, rules=rules).entity_id == entity_id
    assert _decode(None, key=key, rules=rules).entity_id == entity_id


@pytest.mark.parametrize(
    ("form", "key", "reason"),
    [
        (KeyForm.TEXT, b"", "the key, read as text, names no product: product id '' has 0 bytes"),
        (KeyForm.TEXT, b"x" * 513, "has 513 bytes"),
        (KeyForm.TEXT, b"\xff", "is not UTF-8 (invalid start byte at byte 0)"),
        (KeyForm.TEXT, b"\xed\xa0\x80", "is not UTF-8"),
        (KeyForm.JSON, b"", "the key, read as json, names no product: it is not JSON"),
        (KeyForm.JSON, b"forty-two", "is not JSON"),
        (KeyForm.JSON, b"42 43", "is not JSON"),
        (KeyForm.JSON, b'""', "has 0 bytes"),
        (KeyForm.JSON, b"42.0", "got `float`"),
        (KeyForm.JSON, b"true", "got `bool`"),
        (KeyForm.JSON, b'{"id": 42}', "got `object`"),
        (KeyForm.JSON, b'"\xff"', "is not UTF-8"),
        (KeyForm.JSON, rb'"\ud800"', "half of a surrogate pair"),
        (KeyForm.JSON, b"[" * 10**5, "got `array`"),
        (KeyForm.JSON, b"9" * 10**5, "out of range"),
        (KeyForm.INT64, b"", "it has 0 bytes, 8 are wanted"),
        (KeyForm.INT64, b"42", "it has 2 bytes, 8 are wanted: '42'"),
        (KeyForm.INT64, bytes(9), "it has 9 bytes, 8 are wanted"),
    ],
)
def test_unusable_keys(form: KeyForm, key: bytes, reason: str) -> None:
    rules = Rules(key_form=form)
    assert reason in _reason(NAMELESS, key=key, rules=rules)
    assert reason in _reason(_named('"42"'), key=key, rules=rules)
    assert reason in _reason(None, key=key, rules=rules)


def test_the_key_must_agree() -> None:
    assert "the key names product '42', but product_id is '43': they must agree" in _reason(_named('"43"'))
    assert "they must agree" in _reason(_named('"042"'))
    assert _decode(_named("42"), key=b"42").entity_id == "42"


@pytest.mark.parametrize("value", [NAMELESS, None, b'{"product_id": null, ' + NAMELESS[1:]])
def test_somebody_must_name_the_product(value: bytes | None) -> None:
    assert "product_id is missing in the value, and the key has none either" in _reason(value, key=None)
    rules = Rules(key_form=KeyForm.JSON)
    assert "the key has none either" in _reason(value, key=b"null", rules=rules)


def test_null_counts_as_absent() -> None:
    assert _decode(_named("null")).entity_id == "42"
    assert _decode(_named("42, " + '"deleted": null')).kind is Kind.UPDATE
    assert _decode(_named("42"), key=b"null", rules=Rules(key_form=KeyForm.JSON)).entity_id == "42"


@pytest.mark.parametrize("key", [None, b"", b"43", b"\xff", b"x" * 1000])
def test_ignored_keys_are_not_looked_at(key: bytes | None) -> None:
    assert _decode(_named('"42"'), key=key, rules=IGNORING_KEYS).entity_id == "42"
    for value in (NAMELESS, None):
        assert "a setting says that keys are ignored" in _reason(value, key=key, rules=IGNORING_KEYS)

"""What crosses the broker: the format is read by workers of neighbouring releases, so it is spelt out here."""

from typing import Any

import msgspec
import pytest
from kombu.serialization import loads

from lastword.contract.errors import TransientError
from lastword.contract.flow import Destination
from lastword.contract.record import Update
from lastword.contract.task import Arguments, Send, UnknownFormatError, decode, decode_batch, encode, encode_batch
from lastword.contract.version import Version

UPDATE = Update(entity_id="42", version=Version(1763800000000123, 7), data=b'{"price": 1}')
ARGUMENTS = Arguments(update=UPDATE, nonce="abc-1", first_sent=1763800000.25, not_after=1763800600.25)
BODY: dict[str, Any] = {
    "id": "42",
    "version": "1763800000000123-7",
    "nonce": "abc-1",
    "first_sent": 1763800000.25,
    "not_after": 1763800600.25,
    "data": '{"price": 1}',
}


def through_the_broker(encoded: list[Any]) -> list[Any]:
    """What Celery makes of it on the other side."""
    found = loads(msgspec.json.encode(encoded), "application/json", "utf-8", accept=["application/json"])
    assert isinstance(found, list)
    return found


def test_the_format() -> None:
    assert through_the_broker(encode(ARGUMENTS)) == [1, BODY]
    assert decode(1, BODY) == ARGUMENTS


def test_the_format_says_where_a_task_belongs() -> None:
    to = Destination("orders", "order-", "c1")
    addressed = msgspec.structs.replace(ARGUMENTS, to=to)
    encoded = through_the_broker(encode(addressed))
    assert encoded == [1, {**BODY, "to": ["orders", "order-", "c1"]}]
    assert decode(*encoded) == addressed
    sends = [Send("t:0:1", addressed), Send("t:0:2", addressed)]
    together = through_the_broker(encode_batch(sends))
    assert together[1]["to"] == ["orders", "order-", "c1"]
    assert decode_batch(*together) == sends, "each goes on alone as it was addressed"
    assert "to" not in through_the_broker(encode_batch([Send("t:0:1", ARGUMENTS)]))[1], "as an older release sends it"


def test_the_format_of_a_marked_tombstone() -> None:
    gone = Update(entity_id="42", version=UPDATE.version, data=None, deleted=True)
    encoded = encode(Arguments(update=gone, nonce="abc-1", first_sent=1.5, not_after=2.5, marked=True))
    assert through_the_broker(encoded) == [
        1,
        {
            "id": "42",
            "version": "1763800000000123-7",
            "nonce": "abc-1",
            "first_sent": 1.5,
            "not_after": 2.5,
            "deleted": True,
            "marked": True,
        },
    ]


@pytest.mark.parametrize(
    "update",
    [
        Update(entity_id="é/ \U0001f3a7", version=Version(0, 0), data='"\u0000\u2028 \U0001f3a7"'.encode()),
        Update(entity_id="1", version=Version(2**53 - 1, 2**53 - 1), data=b' { "kept" :1.0e0}\n'),
        Update(entity_id="1", version=Version(1, 2), data=b'{"__type__": "datetime", "__value__": "no"}'),
        Update(entity_id="1", version=Version(1, 2), data=b"null"),
        Update(entity_id="1", version=Version(1, 2), data=None),
        Update(entity_id="1", version=Version(1, 2), data=None, numbered=True),
        Update(entity_id="1", version=Version(1, 2), data=None, deleted=True),
        Update(entity_id="1", version=Version.at((3, 2), 1), data=b"1", time_us=1),
        Update(entity_id="x" * 512, version=Version(1, 2), data=b"[]"),
    ],
)
def test_an_update_arrives_as_it_was_sent(update: Update) -> None:
    arguments = Arguments(update=update, nonce="n", first_sent=0.1, not_after=1e10, marked=True)
    assert decode(*through_the_broker(encode(arguments))) == arguments


def test_what_a_later_release_adds_is_ignored_and_what_has_a_default_may_be_missing() -> None:
    short = {name: BODY[name] for name in ("id", "version", "nonce", "first_sent", "not_after")}
    found = decode(1, {**short, "added": [1]})
    assert found.update == Update(entity_id="42", version=UPDATE.version, data=None)
    assert not found.marked


@pytest.mark.parametrize("number", [0, 2, -1, "1", None, [], {"format": 1}, 1.5])
def test_another_format_is_not_understood(number: object) -> None:
    with pytest.raises(UnknownFormatError, match=r"^task arguments of format .*; this worker understands 1$"):
        decode(number, BODY)


def test_a_long_number_is_not_quoted_at_length() -> None:
    with pytest.raises(UnknownFormatError) as raised:
        decode("9" * 10_000, BODY)
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (None, "Expected `object`"),
        ([BODY], "Expected `object`"),
        ({}, "missing required field `id`"),
        ({**BODY, "id": 42}, "`$.id`"),
        ({**BODY, "id": ""}, "0 bytes"),
        ({**BODY, "id": "x" * 513}, "513 bytes"),
        ({**BODY, "id": "\ud800"}, "surrogates"),
        ({**BODY, "version": "1-2-3"}, "is not a version"),
        ({**BODY, "version": 12}, "`$.version`"),
        ({**BODY, "nonce": None}, "`$.nonce`"),
        ({**BODY, "first_sent": "now"}, "`$.first_sent`"),
        ({**BODY, "not_after": 10**400}, "`$.not_after`"),
        ({**BODY, "data": {"price": 1}}, "`$.data`"),
        ({**BODY, "data": "\udfff"}, "surrogates"),
        ({**BODY, "deleted": 1}, "`$.deleted`"),
        ({**BODY, "marked": 1}, "`$.marked`"),
        ({**BODY, "numbered": 1}, "`$.numbered`"),
        ({**BODY, "time_us": -1}, "`$.time_us`"),
        ({**BODY, "time_us": 2**53}, "`$.time_us`"),
    ],
)
def test_a_body_that_does_not_fit_the_format_is_not_understood(body: object, reason: str) -> None:
    with pytest.raises(UnknownFormatError) as raised:
        decode(1, body)
    assert str(raised.value).startswith("task arguments of format 1 that do not fit it: ")
    assert reason in str(raised.value)


def test_what_is_not_understood_may_be_by_another_worker() -> None:
    assert issubclass(UnknownFormatError, TransientError)


BATCH: dict[str, Any] = {
    "nonce": "abc-1",
    "first_sent": 1763800000.25,
    "not_after": 1763800600.25,
    "updates": [
        ["products:3:12", "42", "1763800000000123-7", '{"price": 1}', False, None],
        ["products:3:13", "43", "1763800000000124-0", None, True, None],
        ["products:3:14", "44", "4503599627370496-9", "1", False, 1763800000000125],
    ],
}
GONE = Update(entity_id="43", version=Version(1763800000000124, 0), data=None, deleted=True)
PLACED = Update(entity_id="44", version=Version.at(9, 0), data=b"1", time_us=1763800000000125)
SENDS = [
    Send("products:3:12", ARGUMENTS),
    Send("products:3:13", Arguments(update=GONE, nonce="abc-1", first_sent=1763800000.25, not_after=1763800600.25)),
    Send("products:3:14", Arguments(update=PLACED, nonce="abc-1", first_sent=1763800000.25, not_after=1763800600.25)),
]


def test_the_format_of_many() -> None:
    assert through_the_broker(encode_batch(SENDS)) == [1, BATCH]
    assert decode_batch(1, BATCH) == SENDS


def test_many_of_an_earlier_release_have_their_times_in_their_versions() -> None:
    assert decode_batch(1, {**BATCH, "updates": [update[:5] for update in BATCH["updates"][:2]]}) == SENDS[:2]


def test_what_a_later_release_adds_to_many_is_ignored() -> None:
    longer = [[*update, "added"] for update in BATCH["updates"]]
    assert decode_batch(1, {**BATCH, "updates": longer, "added": 1}) == SENDS


@pytest.mark.parametrize(
    ("number", "body", "reason"),
    [
        (2, BATCH, "task arguments of format 2; this worker understands 1"),
        (1, None, "Expected `object`"),
        (1, {**BATCH, "updates": {}}, "`$.updates`"),
        (1, {**BATCH, "updates": [["products:3:12", "42"]]}, "`$.updates[0]`"),
        (1, {**BATCH, "updates": [["products:3:12", "42", "1-2-3"]]}, "is not a version"),
        (1, {**BATCH, "updates": [["products:3:12", "", "1-2"]]}, "0 bytes"),
        (1, {**BATCH, "nonce": 1}, "`$.nonce`"),
    ],
)
def test_many_that_do_not_fit_the_format_are_not_understood(number: object, body: object, reason: str) -> None:
    with pytest.raises(UnknownFormatError) as raised:
        decode_batch(number, body)
    assert reason in str(raised.value)

"""Any update crosses the broker unchanged, and anything else that comes from there is one kind of error."""

import hypothesis.strategies as st
import msgspec
from hypothesis import given
from kombu.serialization import loads

from lastword.contract.record import Update
from lastword.contract.task import Arguments, UnknownFormatError, decode, encode
from lastword.contract.version import VERSION_LIMIT, Version

numbers = st.integers(0, VERSION_LIMIT - 1)
times = st.floats(0, 1e11)
arguments = st.builds(
    Arguments,
    update=st.builds(
        Update,
        entity_id=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=128),
        version=st.builds(Version, numbers, numbers),
        data=st.none() | st.text(st.characters(exclude_categories=["Cs"])).map(str.encode),
        deleted=st.booleans(),
        numbered=st.booleans(),
        time_us=st.none() | numbers,
    ),
    nonce=st.text(st.characters(exclude_categories=["Cs"])),
    first_sent=times,
    not_after=times,
    marked=st.booleans(),
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())
anything = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)
versions = st.just("1-2") | st.from_regex(r"[0-9]{1,17}-[0-9]{1,17}", fullmatch=True)
fields = st.fixed_dictionaries(
    {
        "id": st.text(max_size=3) | anything,
        "version": versions | anything,
        "nonce": st.text() | anything,
        "first_sent": st.floats() | anything,
        "not_after": st.floats() | anything,
    },
    optional={"data": st.text(st.characters()) | anything, "deleted": st.booleans() | anything, "other": anything},
)


@given(arguments)
def test_an_update_arrives_as_it_was_sent(sent: Arguments) -> None:
    payload = msgspec.json.encode(encode(sent))
    assert decode(*loads(payload, "application/json", "utf-8", accept=["application/json"])) == sent


@given(st.just(1) | anything, fields | anything)
def test_garbage_is_understood_or_one_kind_of_error(number: object, body: object) -> None:
    try:
        found = decode(number, body)
    except UnknownFormatError:
        return
    assert isinstance(body, dict)
    assert found.update.entity_id == body["id"]
    assert str(found.update.version) == body["version"]

"""Whatever order the updates come in, however often: every Redis ends at every product's last word."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastword.cache.cache import Cache, Write
from lastword.contract.errors import UnusableKeyError
from lastword.contract.outcome import Outcome
from lastword.contract.record import Update
from lastword.contract.version import VERSION_LIMIT, Version
from tests.redis_forms import RedisForm, fresh_prefix

Fields = dict[Any, Any]  # bytes to bytes
Hashes = dict[str, Fields]
Writer = Callable[[Cache, RedisForm, Sequence[Write]], None]

# Few of each, so that equal versions, equal contents and stale ones all happen; and the edges of what Lua can compare.
EDGES = (0, 1, 9, 10, 10**15 - 1, 10**15, VERSION_LIMIT // 2, VERSION_LIMIT - 2, VERSION_LIMIT - 1)
VERSIONS = st.builds(Version, st.sampled_from((0, 9, 10, VERSION_LIMIT - 1)), st.sampled_from((9, 10)))
NUMBERS = st.sampled_from(EDGES) | st.integers(0, VERSION_LIMIT - 1)
TOKENS = st.just("") | st.integers(0, 2**64 - 1).map("{:016x}".format)
PRODUCTS = ("a", "b")


@st.composite
def _updates(draw: st.DrawFn) -> Update:
    data = draw(st.sampled_from((None, b"", b"1", b"2", b"\x00\xff")))
    return Update(entity_id=draw(st.sampled_from(PRODUCTS)), version=draw(VERSIONS), data=data, deleted=data is None)


# One lock token is one lock held by one task, so no two updates share it.
WRITES = st.lists(st.builds(Write, _updates(), TOKENS), max_size=8, unique_by=lambda write: write.token)


@st.composite
def deliveries(draw: st.DrawFn) -> list[list[Write]]:
    """Every write once or more, shuffled, and cut into pipelines."""
    writes = draw(WRITES)
    again = draw(st.lists(st.sampled_from(writes), max_size=8)) if writes else []
    shuffled = draw(st.permutations(writes + again))
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(shuffled) - 1)), max_size=4)))
    return [list(shuffled[start:end]) for start, end in itertools.pairwise([0, *cuts, len(shuffled)])]


class Held(NamedTuple):
    """What a key holds, ordered as the last word is: by version, then a tombstone, then the newer lock token."""

    version: Version
    deleted: bool
    token: str
    data: bytes

    @classmethod
    def of(cls, write: Write) -> "Held":
        update, token = write
        return cls(update.version, update.deleted, token, update.data or b"")

    def outcome(self, late: "Held") -> Outcome:
        if late.version != self.version:
            return Outcome.APPLIED if late.version > self.version else Outcome.STALE
        same = late.deleted == self.deleted and late.data == self.data
        return Outcome.DUPLICATE if same else Outcome.CONFLICT

    def fields(self) -> Fields:
        content = {b"deleted": b"1"} if self.deleted else {b"data": self.data}
        return {b"version": str(self.version).encode(), b"token": self.token.encode(), **content}


def last_words(writes: Sequence[Write]) -> Hashes:
    """The greatest of all writes of each product, told without following any order of them."""
    products = {write.update.entity_id for write in writes}
    return {
        product: max(Held.of(write) for write in writes if write.update.entity_id == product).fields()
        for product in products
    }


def model_outcomes(writes: Sequence[Write]) -> list[Outcome]:
    """What each write should come to, one after the other."""
    held: dict[str, Held] = {}
    outcomes = []
    for write in writes:
        late, entity_id = Held.of(write), write.update.entity_id
        before = held.get(entity_id)
        outcomes.append(Outcome.APPLIED if before is None else before.outcome(late))
        held[entity_id] = late if before is None else max(before, late)
    return outcomes


def fresh_cache(form: RedisForm) -> tuple[Cache, str]:
    prefix = fresh_prefix()
    return Cache(form.client, key_prefix=prefix), prefix


def hashes(form: RedisForm, prefix: str) -> Hashes:
    found = {product: form.raw.hgetall(prefix + product) for product in PRODUCTS}
    form.raw.delete(*(prefix + product for product in PRODUCTS))
    for fields in found.values():
        fields.pop(b"updated_at", None)
    return {product: fields for product, fields in found.items() if fields}


# For each form of Redis that many, which makes eight times as many.
@settings(max_examples=100)
@given(deliveries())
def test_any_order_with_repeats_ends_at_the_last_word(redis_form: RedisForm, pipelines: list[list[Write]]) -> None:
    cache, prefix = fresh_cache(redis_form)
    writes = list(itertools.chain.from_iterable(pipelines))

    outcomes = [outcome for pipeline in pipelines for outcome in cache.write(pipeline)]

    assert outcomes == model_outcomes(writes)
    assert hashes(redis_form, prefix) == last_words(writes)


@settings(max_examples=40)
@given(deliveries())
def test_what_need_not_be_written_is_what_would_change_no_content(
    redis_form: RedisForm, pipelines: list[list[Write]]
) -> None:
    cache, prefix = fresh_cache(redis_form)
    for pipeline in pipelines:
        for write in pipeline:
            [foreseen] = cache.holds([write.update])
            [outcome] = cache.write([write])
            assert foreseen == (outcome if outcome in {Outcome.STALE, Outcome.DUPLICATE} else None)
    hashes(redis_form, prefix)


@settings(max_examples=20)
@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.booleans()), max_size=40))
def test_lua_orders_versions_as_python_does(
    redis_form: RedisForm, numbers: list[tuple[int, int, int, int, bool]]
) -> None:
    cache, prefix = fresh_cache(redis_form)
    pairs = [(Version(a, b), Version(a if same else c, d)) for a, b, c, d, same in numbers]
    held, late = (
        [Write(Update(entity_id=str(n), version=pair[side], data=b"1"), "") for n, pair in enumerate(pairs)]
        for side in (0, 1)
    )
    cache.write(held)

    answers = cache.write(late)

    assert answers == [Outcome.DUPLICATE if a == b else Outcome.APPLIED if b > a else Outcome.STALE for a, b in pairs]
    redis_form.raw.delete(prefix, *(f"{prefix}{n}" for n in range(len(pairs))))


@settings(max_examples=40)
@given(
    st.text(max_size=40)
    | st.from_regex(r"\A[0-9]{1,18}-[0-9]{1,18}\n?\Z")
    | st.builds("{}-{}".format, NUMBERS, NUMBERS)
)
def test_lua_reads_the_same_versions_as_python(redis_form: RedisForm, text: str) -> None:
    cache, prefix = fresh_cache(redis_form)
    redis_form.raw.hset(f"{prefix}a", "version", text)

    [answer] = cache.write([Write(Update(entity_id="a", version=Version(0, 0), data=b"1"), "")])

    assert isinstance(answer, UnusableKeyError) == (cache.held(["a"]) == {})
    redis_form.raw.delete(f"{prefix}a")


def blind(cache: Cache, form: RedisForm, writes: Sequence[Write]) -> None:
    """Control: the same fields set without looking at what is held."""
    for write in writes:
        key = cache.key(write.update.entity_id)
        form.raw.delete(key)
        form.raw.hset(key, mapping=Held.of(write).fields())


def by_the_script(cache: Cache, _: RedisForm, writes: Sequence[Write]) -> None:
    cache.write(writes)


@pytest.mark.parametrize(("writer", "orders_that_go_wrong"), [(by_the_script, 0), (blind, 4)])
def test_control_the_newest_version_survives_every_order_only_by_the_script(
    redis_form: RedisForm, writer: Writer, orders_that_go_wrong: int
) -> None:
    writes = [
        Write(Update(entity_id="a", version=Version(9, 10), data=b"old"), "0000000000000003"),
        Write(Update(entity_id="a", version=Version(10, 9), data=None, deleted=True), "0000000000000002"),
        Write(Update(entity_id="a", version=Version(10, 10), data=b"newest"), "0000000000000001"),
    ]
    wrong = 0
    for order in itertools.permutations(writes):
        cache, prefix = fresh_cache(redis_form)
        writer(cache, redis_form, order)
        wrong += hashes(redis_form, prefix) != last_words(writes)

    assert wrong == orders_that_go_wrong

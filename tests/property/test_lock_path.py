import hashlib
import re

from hypothesis import example, given
from hypothesis import strategies as st
from kazoo.protocol.paths import normpath

from tasks.lock.path import SHARDS, lock_path

# Lone surrogates too: no product id has one, but nothing here must rely on that.
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=300)


@given(ANY_TEXT)
@example("")
@example("/")
@example(".")
@example("..")
@example("\ud800")
@example("é" * 256)
def test_any_id_has_a_path_that_zookeeper_accepts(entity_id: str) -> None:
    path = lock_path("/root", entity_id)
    assert re.fullmatch(r"/root/locks/[0-9a-f]{2}/(p[A-Za-z0-9_%-]*|h[0-9a-f]{64})", path)
    assert normpath(path) == path
    assert len(path.rpartition("/")[2]) <= 200


@given(ANY_TEXT, ANY_TEXT)
@example("a/b", "a%2Fb")
@example("\ud800\udc00", "\U00010000")
@example("x" * 300, "h" + hashlib.sha256(b"x" * 300).hexdigest())
@example("x" * 300, hashlib.sha256(b"x" * 300).hexdigest())
@example("", "p")
def test_two_ids_never_share_a_path(one: str, other: str) -> None:
    assert (lock_path("/root", one) == lock_path("/root", other)) == (one == other)


@given(ANY_TEXT)
def test_short_ids_can_be_read_back_from_their_name(entity_id: str) -> None:
    name = lock_path("/root", entity_id).rpartition("/")[2]
    if name.startswith("p"):
        raw = re.sub(rb"%([0-9A-F]{2})", lambda match: bytes.fromhex(match[1].decode()), name[1:].encode())
        assert raw.decode("utf-8", errors="surrogatepass") == entity_id


def test_paths_are_the_same_in_every_release() -> None:
    # Workers of two releases run side by side during a rolling update, and must meet at the same znode.
    assert lock_path("/lastword", "42") == "/lastword/locks/73/p42"
    assert lock_path("/lastword", "a/b é") == "/lastword/locks/{}/pa%2Fb%20%C3%A9".format(
        hashlib.sha256("a/b é".encode()).hexdigest()[:2]
    )


def test_ids_spread_over_all_shards() -> None:
    shards = {lock_path("/root", str(number)).split("/")[3] for number in range(5000)}
    assert shards == set(SHARDS)

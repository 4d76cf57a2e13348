"""Locks that only one user may touch, and what is said where ZooKeeper forbids something."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError
from kazoo.security import ACL, OPEN_ACL_UNSAFE, make_digest_acl

from lastword.contract.errors import SessionLostError, ZnodeForbiddenError
from servers import ZooKeeper
from tasks.lock.locks import Locks
from tasks.lock.path import SHARDS, lock_path
from tasks.lock.zookeeper_client import Security
from tests.lock_helpers import (
    V,
    acquire_when_possible,
    direct_client,
    end_session_elsewhere,
    is_held,
    lock_stat,
    open_locks,
    session_of,
)
from tests.waiting import wait_until

PASSWORD = "hunter2-and-more"  # noqa: S105 - what must not be seen
SHOP = Security(auth=f"shop:{PASSWORD}")
SHOP_ONLY = [make_digest_acl("shop", PASSWORD, all=True)]
SOMEBODY_ELSES = [make_digest_acl("other", "secret", all=True)]


@pytest.fixture
def locks(zookeeper_server: ZooKeeper, zookeeper_root: str) -> Iterator[Locks]:
    with open_locks(zookeeper_server.address, zookeeper_root, security=SHOP) as locks:
        yield locks


@contextmanager
def shop_client(address: str) -> Iterator[KazooClient]:
    with direct_client(address) as client:
        client.add_auth("digest", SHOP.auth)
        yield client


def acls(client: KazooClient, path: str) -> list[ACL]:
    found: list[ACL] = client.get_acls(path)[0]
    return found


def shard_of(root: str, entity_id: str) -> str:
    return lock_path(root, entity_id).rpartition("/")[0]


# With it, nobody else can.


def test_every_znode_is_for_the_user_alone(zookeeper_server: ZooKeeper, zookeeper_root: str) -> None:
    root = f"{zookeeper_root}/below"
    with (
        open_locks(zookeeper_server.address, root, security=SHOP) as locks,
        locks.acquire({"42": V, "43": V}),
        shop_client(zookeeper_server.address) as client,
    ):
        paths = [zookeeper_root, *below(client, zookeeper_root)]
        assert {path: acls(client, path) for path in paths} == dict.fromkeys(paths, SHOP_ONLY)
        assert len(paths) == len(["", "below", "guards", "guard", "locks", *SHARDS, "42", "43"])


def below(client: KazooClient, path: str) -> Iterator[str]:
    for name in client.get_children(path):
        yield f"{path}/{name}"
        yield from below(client, f"{path}/{name}")


@pytest.mark.parametrize("auth", [None, "shop:wrong"])
def test_others_can_neither_read_nor_delete_nor_create(
    zookeeper_server: ZooKeeper, zookeeper_root: str, locks: Locks, auth: str | None
) -> None:
    with locks.acquire({"42": V}) as grant, direct_client(zookeeper_server.address) as stranger:
        if auth is not None:
            stranger.add_auth("digest", auth)
        path = lock_path(zookeeper_root, "42")
        with pytest.raises(NoAuthError):
            stranger.get(path)
        with pytest.raises(NoAuthError):
            stranger.delete(path)
        with pytest.raises(NoAuthError):
            stranger.create(lock_path(zookeeper_root, "43"), ephemeral=True)
        with pytest.raises(NoAuthError):
            stranger.set_acls(shard_of(zookeeper_root, "42"), OPEN_ACL_UNSAFE)
        with shop_client(zookeeper_server.address) as client:
            assert is_held(client, zookeeper_root, grant, "42")


def test_locks_work_as_they_do_without(zookeeper_server: ZooKeeper, zookeeper_root: str, locks: Locks) -> None:
    with (
        open_locks(zookeeper_server.address, zookeeper_root, security=SHOP) as others,
        shop_client(zookeeper_server.address) as client,
    ):
        grant = locks.acquire({"42": V})
        assert others.acquire({"42": V}).busy == ["42"]
        waiter = threading.Thread(target=others.wait, args=("42", 20.0))
        waiter.start()
        grant.release()
        waiter.join(10.0)
        assert not waiter.is_alive()
        grant = acquire_when_possible(others, "42")
        end_session_elsewhere(zookeeper_server.address, others)
        wait_until(lambda: lock_stat(client, zookeeper_root, "42") is None)
        assert is_held(client, zookeeper_root, acquire_when_possible(locks, "42"), "42")
        grant.release()
        acquire_when_possible(others, "43")
        assert lock_stat(client, zookeeper_root, "42") is not None


# What is said where something is forbidden.


@pytest.mark.parametrize(
    ("security", "advice"),
    [
        (Security(), "it has an ACL; set LASTWORD_ZOOKEEPER_AUTH to the user:password that it is for"),
        (Security(auth="shop:wrong"), "its ACL is not for the user and password of LASTWORD_ZOOKEEPER_AUTH; "),
    ],
)
def test_a_root_of_somebody_else(
    zookeeper_server: ZooKeeper, zookeeper_root: str, locks: Locks, security: Security, advice: str
) -> None:
    locks.acquire({}).release()
    with (
        open_locks(zookeeper_server.address, zookeeper_root, security=security) as refused,
        pytest.raises(ZnodeForbiddenError) as raised,
    ):
        refused.acquire({"42": V})
    assert str(raised.value).startswith(
        f"ZooKeeper at {zookeeper_server.address}: no permission for znode {zookeeper_root}/locks: {advice}"
    )


def test_a_root_that_may_be_read_only_and_one_that_may_not_be_made(
    zookeeper_server: ZooKeeper, zookeeper_root: str, locks: Locks
) -> None:
    with shop_client(zookeeper_server.address) as client:
        client.create(zookeeper_root, acl=[*SHOP_ONLY, *READ_ONLY])
        with (
            open_locks(zookeeper_server.address, f"{zookeeper_root}/below") as refused,
            pytest.raises(ZnodeForbiddenError, match=f"no permission for znode {zookeeper_root}/below: "),
        ):
            refused.acquire({"42": V})
        locks.acquire({}).release()
        for path in below(client, zookeeper_root):
            client.set_acls(path, [*SHOP_ONLY, *READ_ONLY])
        with (
            open_locks(zookeeper_server.address, zookeeper_root) as refused,
            pytest.raises(ZnodeForbiddenError, match=f"no permission for znode {zookeeper_root}/guards/"),
        ):
            refused.acquire({"42": V})


READ_ONLY = [ACL(1, OPEN_ACL_UNSAFE[0].id)]


def test_a_root_that_is_open_to_everybody_is_used_with_a_warning(
    zookeeper_server: ZooKeeper, zookeeper_root: str, locks: Locks, caplog: pytest.LogCaptureFixture
) -> None:
    with open_locks(zookeeper_server.address, zookeeper_root) as before:
        before.acquire({}).release()
    with locks.acquire({"42": V}) as grant, shop_client(zookeeper_server.address) as client:
        assert is_held(client, zookeeper_root, grant, "42")
        assert acls(client, lock_path(zookeeper_root, "42")) == SHOP_ONLY
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert f"anybody may change znode {zookeeper_root}/guards (and 257 more)" in warning
    assert f"setAcl -R {zookeeper_root} " in warning


def test_a_root_of_ours_draws_no_warning(
    zookeeper_server: ZooKeeper, zookeeper_root: str, locks: Locks, caplog: pytest.LogCaptureFixture
) -> None:
    locks.acquire({}).release()
    with open_locks(zookeeper_server.address, zookeeper_root, security=SHOP) as again:
        again.acquire({}).release()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_lock_that_is_forbidden_costs_no_other_and_heals(
    zookeeper_server: ZooKeeper, zookeeper_root: str, locks: Locks
) -> None:
    forbidden, shard = "42", shard_of(zookeeper_root, "42")
    others = [name for name in map(str, range(8)) if shard_of(zookeeper_root, name) != shard]
    with shop_client(zookeeper_server.address) as client:
        kept = locks.acquire({"kept": V})
        session = session_of(locks)
        client.set_acls(shard, SOMEBODY_ELSES)
        with pytest.raises(ZnodeForbiddenError, match=f"no permission for znode {shard}: "):
            locks.acquire(dict.fromkeys([*others, forbidden], V))
        for name in others:
            wait_until(lambda name=name: lock_stat(client, zookeeper_root, name) is None)  # type: ignore[misc]
        assert session_of(locks) is session
        kept.check()
        client.add_auth("digest", "other:secret")
        client.set_acls(shard, SHOP_ONLY)
        assert is_held(client, zookeeper_root, acquire_when_possible(locks, *others, forbidden), forbidden)


def test_a_release_that_is_forbidden_ends_the_session_and_with_it_the_lock(
    zookeeper_server: ZooKeeper, zookeeper_root: str, locks: Locks, caplog: pytest.LogCaptureFixture
) -> None:
    shard = shard_of(zookeeper_root, "42")
    with shop_client(zookeeper_server.address) as client:
        grant = locks.acquire({"42": V})
        client.set_acls(shard, SOMEBODY_ELSES)
        grant.release()
        wait_until(lambda: lock_stat(client, zookeeper_root, "42") is None)
    assert f"a release failed: ZooKeeper at {zookeeper_server.address}: no permission for znode {shard}" in caplog.text


@pytest.mark.parametrize(
    ("settings", "security", "said"),
    [
        (
            {"enforce.auth.enabled": "true", "enforce.auth.schemes": "digest"},
            Security(),
            "wants authentication: set LASTWORD_ZOOKEEPER_AUTH",
        ),
        (
            {"DigestAuthenticationProvider.enabled": "false"},
            SHOP,
            "refuses LASTWORD_ZOOKEEPER_AUTH: no digest authentication?",
        ),
    ],
)
def test_a_server_that_wants_another_authentication(
    tmp_path: Path, settings: dict[str, str], security: Security, said: str
) -> None:
    with (
        ZooKeeper(tmp_path, settings=settings) as server,
        open_locks(server.address, "/test", security=security) as locks,
        pytest.raises(SessionLostError) as raised,
    ):
        locks.acquire({"42": V})
    assert str(raised.value) == f"ZooKeeper at {server.address} {said}"


def test_the_password_is_seen_nowhere(
    zookeeper_server: ZooKeeper, zookeeper_root: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(1), caplog.at_level(1, "tasks.lock.zookeeper_client.kazoo"):
        for auth in (SHOP.auth, f"other:{PASSWORD}"):
            with open_locks(zookeeper_server.address, zookeeper_root, security=Security(auth=auth)) as locks:
                try:
                    locks.acquire({"42": V}).release()
                except ZnodeForbiddenError as error:
                    assert PASSWORD not in f"{error!r} {error}"  # noqa: PT017 - only the second is refused
    assert "Sending request(xid=" in caplog.text
    assert PASSWORD not in caplog.text
    assert PASSWORD not in repr(SHOP)

"""ZooKeeper over TLS: the name is checked, and what goes wrong is said with where and what to do."""

import socket
import ssl
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lastword.contract.errors import SessionLostError
from servers import Redis, ZooKeeper
from servers.zookeeper import Tls
from tasks.lock.zookeeper_client import Security, _Handler, tls_context
from tests.certificates import Authority
from tests.commands import ONE_SECOND, PASSWORD, WORKER, run
from tests.lock_helpers import V, is_held, open_locks, session_of
from tests.task_helpers import Sender, TaskLog, client_app, live
from tests.waiting import wait_until
from tests.worker_helpers import BROKER_DB, celery_worker, empty_broker, worker_env


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[ZooKeeper]:
    """Its certificate is for its name, not for its address."""
    tls = Tls(authority.issue("localhost"), authority.pem)
    with ZooKeeper(tmp_path_factory.mktemp("zookeeper-tls"), tls=tls) as server:
        yield server


@pytest.fixture(scope="module")
def mutual_server(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[ZooKeeper]:
    """Its certificate is for its address, and it wants one of ours."""
    tls = Tls(authority.issue("127.0.0.1"), authority.pem, mutual=True)
    with ZooKeeper(tmp_path_factory.mktemp("zookeeper-mutual"), tls=tls) as server:
        yield server


@pytest.fixture
def trusting(authority: Authority) -> Security:
    return Security(tls=tls_context(ca=str(authority.pem)))


def refusal(hosts: str, root: str, security: Security) -> str:
    """What is said of the server, once it has been reached."""

    def attempt() -> str:
        with pytest.raises(SessionLostError) as raised:
            locks.acquire({"42": V})
        _, said, trouble = str(raised.value).partition(f"ZooKeeper at {hosts} is not connected after 1 s: ")
        return trouble.removeprefix(f"{hosts}: ") if said and "no answer" not in trouble else ""

    with open_locks(hosts, root, call_timeout_s=1.0, security=security) as locks:
        return wait_until(attempt, what="the reason why there is no session")


def test_locks_over_tls(server: ZooKeeper, zookeeper_root: str, trusting: Security) -> None:
    with open_locks(f"localhost:{server.port}", zookeeper_root, security=trusting) as locks:
        ids = [str(number) for number in range(500)]
        with locks.acquire(dict.fromkeys(ids, V)) as grant:
            assert (len(grant.tokens), grant.busy) == (500, [])
            client = session_of(locks)._client
            assert all(is_held(client, zookeeper_root, grant, name) for name in ids[::50])
        grant = locks.acquire(dict.fromkeys(ids, V), wait_s=0)
        grant.release()


def test_a_certificate_for_another_name(server: ZooKeeper, zookeeper_root: str, trusting: Security) -> None:
    assert refusal(server.address, zookeeper_root, trusting) == (
        "its certificate is not for '127.0.0.1'; ZOOKEEPER_HOSTS should have the name that is in it"
    )


def test_a_certificate_for_the_address(
    mutual_server: ZooKeeper, zookeeper_root: str, authority: Authority, trusting: Security
) -> None:
    certificate, key = authority.issue_with_encrypted_key("worker", PASSWORD)
    context = tls_context(ca=str(authority.pem), cert=str(certificate), key=str(key), key_password=PASSWORD)
    security = Security(auth=f"shop:{PASSWORD}", tls=context)
    with open_locks(mutual_server.address, zookeeper_root, security=security) as locks:
        assert locks.acquire({"42": V}).tokens.keys() == {"42"}
        acls, _ = session_of(locks)._client.get_acls(f"{zookeeper_root}/locks")
    assert {acl.id.scheme for acl in acls} == {"digest", "x509"}  # whoever has the certificate, or the password
    assert "certificate is not for 'localhost'" in refusal(f"localhost:{mutual_server.port}", zookeeper_root, trusting)


def test_a_server_that_wants_a_certificate_of_ours(
    mutual_server: ZooKeeper, zookeeper_root: str, trusting: Security
) -> None:
    said = refusal(mutual_server.address, zookeeper_root, trusting)
    assert said.startswith("it refuses our certificate, or wants one (")
    assert said.endswith("): LASTWORD_ZOOKEEPER_TLS_CERT")


def test_a_server_that_does_not_know_the_authority_of_ours(
    mutual_server: ZooKeeper, authority: Authority, zookeeper_root: str, tmp_path: Path
) -> None:
    context = tls_context(ca=str(authority.pem), cert=str(Authority(tmp_path).issue("client")))
    said = refusal(mutual_server.address, zookeeper_root, Security(tls=context))
    assert said.startswith("it refuses our certificate, or wants one (")


@pytest.mark.parametrize("authority_is_given", [True, False])
def test_an_unknown_authority(
    server: ZooKeeper,
    zookeeper_root: str,
    tmp_path: Path,
    authority_is_given: bool,  # noqa: FBT001
) -> None:
    context = tls_context(ca=str(Authority(tmp_path).pem) if authority_is_given else None)
    said = refusal(f"localhost:{server.port}", zookeeper_root, Security(tls=context))
    assert said.startswith(
        "its certificate is refused: unable to get local issuer certificate; LASTWORD_ZOOKEEPER_TLS_CA"
    )


def test_tls_to_a_port_without_it(zookeeper_server: ZooKeeper, zookeeper_root: str, trusting: Security) -> None:
    said = refusal(zookeeper_server.address, zookeeper_root, trusting)
    assert said.startswith("no TLS connection (")
    assert said.endswith("); is the port ZooKeeper's secureClientPort?")


def test_no_tls_to_a_port_with_it(server: ZooKeeper, zookeeper_root: str) -> None:
    said = refusal(server.address, zookeeper_root, Security())
    assert said.startswith("this port speaks TLS: set LASTWORD_ZOOKEEPER_TLS_CA")


@pytest.mark.parametrize("password", [None, "wrong"])
def test_a_key_without_its_password_is_not_asked_for(authority: Authority, password: str | None) -> None:
    certificate, key = authority.issue_with_encrypted_key("client", PASSWORD)
    with pytest.raises(ValueError, match="the key's password is wrong or missing") as raised:
        tls_context(cert=str(certificate), key=str(key), key_password=password)
    assert str(key) in str(raised.value)


def test_replies_that_come_in_one_tls_record_are_all_read(authority: Authority, trusting: Security) -> None:
    # A proxy may put several into one; the socket itself has nothing more to announce then.
    assert trusting.tls is not None
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(authority.issue("localhost"))
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as executor:
        connecting = executor.submit(
            _Handler(trusting.tls).create_connection, listening.getsockname(), hostname="localhost", timeout=10.0
        )
        with server_context.wrap_socket(listening.accept()[0], server_side=True) as there, connecting.result() as here:
            there.sendall(b"reply" * 2)
            assert here.recv(5) == b"reply"
            ready, _, _ = _Handler(trusting.tls).select([here], [], [], 5.0)
            assert ready == [here]
            assert here.recv(5) == b"reply"


# The worker.


def test_a_worker_handles_an_update_over_tls_with_a_password(
    server: ZooKeeper, redis_server: Redis, authority: Authority, zookeeper_root: str, tmp_path: Path
) -> None:
    env = secured_env(server, redis_server, authority, zookeeper_root)
    in_files = {
        "LASTWORD_ZOOKEEPER_AUTH": f"shop:{PASSWORD}",
        # This Redis wants no password, and takes any.
        "REDIS_URL": f"redis://default:{PASSWORD}@{redis_server.address}/0",
        "CELERY_BROKER_URL": f"redis://default:{PASSWORD}@{redis_server.address}/{BROKER_DB}",
    }
    for name, secret in in_files.items():
        (tmp_path / name).write_text(f"{secret}\n")
        env.pop(name, None)
        env[f"{name}_FILE"] = str(tmp_path / name)
    empty_broker(redis_server)
    app = client_app(redis_server.url(BROKER_DB))
    with celery_worker(env, "-c", "1") as worker:
        assert TaskLog(worker).result(Sender(app).send(live("a"))) == "applied"
        assert worker.stop() == 0
        assert f"redis://default:**@{redis_server.address}/{BROKER_DB}" in worker.log  # Celery's banner
        assert PASSWORD not in worker.log
    app.close()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"LASTWORD_ZOOKEEPER_AUTH": f"shop:{PASSWORD}"}, "no permission for znode "),
        ({"LASTWORD_ZOOKEEPER_TLS_CA": None}, "this port speaks TLS: set LASTWORD_ZOOKEEPER_TLS_CA"),
        ({"LASTWORD_ZOOKEEPER_TLS_CA": "system"}, "its certificate is refused: "),
    ],
)
def test_a_worker_waits_and_then_gives_up_with_the_reason(
    server: ZooKeeper,
    redis_server: Redis,
    authority: Authority,
    trusting: Security,
    zookeeper_root: str,
    wrong: dict[str, str | None],
    said: str,
) -> None:
    owner = Security(auth="owner:secret", tls=trusting.tls)
    with open_locks(f"localhost:{server.port}", zookeeper_root, security=owner) as locks:
        locks.acquire({}).release()
    env: dict[str, str | None] = {
        **secured_env(server, redis_server, authority, zookeeper_root),
        **ONE_SECOND,
        **wrong,
    }

    ended = run(WORKER, {name: value for name, value in env.items() if value is not None})

    assert ended.code == 3
    *waiting, last = ended.complaints
    assert waiting
    assert last.startswith(f"ZooKeeper at localhost:{server.port} cannot be reached: ")
    assert said in last


@pytest.mark.parametrize("name", ["LASTWORD_ZOOKEEPER_TLS_CA", "LASTWORD_ZOOKEEPER_TLS_KEY"])
def test_a_file_that_is_no_pem_is_a_wrong_setting(
    name: str, server: ZooKeeper, redis_server: Redis, authority: Authority, zookeeper_root: str, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    env = secured_env(server, redis_server, authority, zookeeper_root)
    env["LASTWORD_ZOOKEEPER_TLS_CERT"] = env["LASTWORD_ZOOKEEPER_TLS_KEY"] = str(authority.issue("worker"))
    ended = run(WORKER, {**env, name: str(wrong)})
    assert ended.code == 2
    (line,) = ended.complaints
    assert line.startswith("settings LASTWORD_ZOOKEEPER_TLS_...: ")
    assert str(wrong) in line


def secured_env(server: ZooKeeper, redis_server: Redis, authority: Authority, root: str) -> dict[str, str]:
    return {
        **worker_env(redis_server, server, root=root, key_prefix=f"test-{uuid.uuid4()}:"),
        "ZOOKEEPER_HOSTS": f"localhost:{server.port}",
        "LASTWORD_ZOOKEEPER_TLS_CA": str(authority.pem),
    }

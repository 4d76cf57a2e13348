import socket
import subprocess
import sys

import pytest

from servers.ports import HIGHEST, LOWEST, accepts, free_port, is_free


def test_a_port_somebody_listens_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert not is_free(port)
        assert accepts(port)
    assert is_free(port)
    assert not accepts(port)


def test_ports_are_drawn_below_those_of_outgoing_connections() -> None:
    ports = [free_port() for _ in range(50)]
    assert all(LOWEST <= port < HIGHEST for port in ports)
    assert all(map(is_free, ports))


def test_what_another_process_has_drawn_is_not_drawn_though_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    program = "from servers.ports import free_port; print(free_port(), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        theirs = int(other.stdout.readline())
        assert is_free(theirs)
        draws = iter([theirs, theirs + 1])
        monkeypatch.setattr("random.randrange", lambda *_: next(draws))
        monkeypatch.setattr("servers.ports.is_free", lambda _: True)
        assert free_port() == theirs + 1
        other.communicate("\n")
    monkeypatch.setattr("random.randrange", lambda *_: theirs)
    assert free_port() == theirs


def test_a_port_whose_last_connections_linger_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = listener.accept()
            accepted.close()  # The side that closes first keeps the connection, and the port, in TIME_WAIT.
            assert client.recv(1) == b""
    assert is_free(port)


def test_no_port_is_drawn_twice_before_the_first_is_listened_on(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = iter([21_000, 21_000, 21_001])
    monkeypatch.setattr("servers.ports.is_free", lambda _: True)
    monkeypatch.setattr("servers.ports._drawn", set())
    monkeypatch.setattr("random.randrange", lambda *_: next(draws))
    assert [free_port(), free_port()] == [21_000, 21_001]

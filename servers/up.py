"""What ``python -m servers up`` does: start the servers, watch them, do to them what other shells ask for."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NoReturn

import click

from servers.clustered import ClusteredServers
from servers.errors import ServerError
from servers.group import side_by_side
from servers.local import Servers
from servers.requests import Action, Request, clear, pending
from servers.server import Server
from servers.state import State, remove_state
from servers.status import print_table

WATCH_INTERVAL_S = 0.2
COMMAND_STOP_TIMEOUT_S = 90.0
COMES_UP_TIMEOUT_S = 20.0

DONE: Final[dict[Action, str]] = {
    "stop": "stopped",
    "kill": "killed",
    "pause": "paused",
    "resume": "resumed",
    "start": "started",
}


class Up:
    """The servers of one ``up``; a server that was stopped or killed by its name may be started again."""

    def __init__(self, servers: Servers | ClusteredServers, directory: Path) -> None:
        self._servers = servers
        self._directory = directory
        self._state = State.of([])

    def run(self, command: Sequence[str]) -> None:
        """Start, show and watch the servers; on return, or out of it by an error, none of them runs."""
        try:
            self._state.write(self._directory)
            clear(self._directory)
            click.echo(f"Starting {', '.join(server.name for server in self._servers)}.", err=True)
            self._servers.start()
            self._state = State.of(self._servers)
            self._state.write(self._directory)
            print_table(self._directory, self._state.servers)
            for name, value in self._servers.environment.items():
                click.echo(f"export {name}={value}")
            click.echo(f"Data and logs stay in {self._directory}; `python -m servers clean` deletes them.")
            if command:
                self._run_beside(command)
            else:
                click.echo("Ctrl-C stops the servers.")
                self._watch()
        except KeyboardInterrupt:
            click.echo("Stopping the servers.")
        finally:
            _ignore_signals()
            self._servers.stop()
            remove_state(self._directory)

    def _run_beside(self, command: Sequence[str]) -> NoReturn:
        """Run a command while the servers last; SystemExit with its exit code. Out of here by an error, it is gone."""
        sys.stdout.flush()
        # In a group of its own, so that Ctrl-C reaches it through us, and the servers outlive it.
        process = subprocess.Popen(command, env={**os.environ, **self._servers.environment}, process_group=0)
        try:
            self._watch(lambda: process.poll() is not None)
        finally:
            _ignore_signals()
            process.terminate()
            try:
                process.wait(COMMAND_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        sys.exit(process.returncode if process.returncode >= 0 else 1)

    def _watch(self, ended_by: Callable[[], bool] = lambda: False) -> None:
        """Return when ``ended_by()``; ServerError when a server has ended that nobody had asked to."""
        while not ended_by():
            ended = next((server for server in self._servers if server.ended_by_itself), None)
            if ended is not None:
                raise ServerError(f"{ended.name} ended by itself, and the others with it. Its log: {ended.log_file}")
            for request in pending(self._directory):
                self._obey(request)
            time.sleep(WATCH_INTERVAL_S)

    def _obey(self, request: Request) -> None:
        """Do what another shell asked for, and answer it; what goes wrong is its trouble, not ours."""
        try:
            servers = [self._servers[name] for name in request.names]
            ACTIONS[request.action](servers)
        except (ServerError, OSError) as error:
            told = str(error)
        else:
            told = ""
            names = ", ".join(server.name for server in servers)
            click.echo(f"{names}: {DONE[request.action]}, as another shell asked.")
        self._state = self._state.renewed(self._servers)
        self._state.write(self._directory)
        request.answer(told)


def _start(servers: Sequence[Server]) -> None:
    side_by_side(Server.launch, servers)
    silent = [server.name for server in servers if not server.comes_up(timeout_s=COMES_UP_TIMEOUT_S)]
    if silent:
        raise ServerError(
            f"{', '.join(silent)}: started, but without an answer for {COMES_UP_TIMEOUT_S:g} s, and left running: "
            "perhaps others must be started too"
        )


ACTIONS: Final[dict[Action, Callable[[Sequence[Server]], None]]] = {
    "stop": lambda servers: side_by_side(Server.stop, servers),
    "kill": lambda servers: side_by_side(Server.kill, servers),
    "pause": lambda servers: side_by_side(Server.pause, servers),
    "resume": lambda servers: side_by_side(Server.resume, servers),
    "start": _start,
}


def _ignore_signals() -> None:
    # Stopping is bounded: another Ctrl-C would only leave it half done.
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signal_number, signal.SIG_IGN)

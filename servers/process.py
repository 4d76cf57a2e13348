"""A child process with a log file that cannot outlive its parent, however the parent ends."""

import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

# Reads a pipe that nobody writes to: `read` returns when the last writer, our parent, is gone. `kill 0` then ends the
# whole process group, the warden included, and nothing else: a group's id is not given out again while it has a member.
# PR_SET_PDEATHSIG would be the other way, but it is Linux only and fires when the *thread* that forked ends.
WARDEN = ["/bin/sh", "-c", "read -r _; kill -KILL 0"]

KILL_TIMEOUT_S = 10.0


class Child:
    """Runs ``command`` in ``directory``, its output appended to ``log_file``, until it is stopped or this process ends.

    The child has a process group of its own, so that Ctrl-C at the terminal reaches only us: we stop the children, in
    order. The group is led by a warden, a sleeping shell that kills the group when this process is gone, even by
    SIGKILL. Should this process fork without exec, the fork counts as a parent too.
    """

    def __init__(
        self, command: Sequence[str | Path], *, directory: Path, log_file: Path, environment: Mapping[str, str]
    ) -> None:
        self._warden = subprocess.Popen(
            WARDEN,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        try:
            with log_file.open("ab") as log:
                self._process = subprocess.Popen(
                    [str(part) for part in command],
                    cwd=directory,
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    process_group=self._warden.pid,
                )
        except BaseException:
            self._dismiss_warden()
            raise

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while the child runs, else its exit code (negative: the signal that ended it)."""
        return self._process.poll()

    def send(self, signal_number: signal.Signals) -> None:
        """Send a signal; does nothing once the child has ended."""
        self._process.send_signal(signal_number)

    def stop(self, timeout_s: float) -> None:
        """Ask the child to end (SIGTERM), kill it after ``timeout_s``; it is gone on return."""
        self.send(signal.SIGTERM)
        self.send(signal.SIGCONT)  # A paused process would not see the SIGTERM.
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
        self._dismiss_warden()

    def kill(self) -> None:
        """End the child at once (SIGKILL); it is gone on return."""
        self.send(signal.SIGKILL)
        self._process.wait(KILL_TIMEOUT_S)
        self._dismiss_warden()

    def _dismiss_warden(self) -> None:
        assert self._warden.stdin is not None
        self._warden.stdin.close()
        self._warden.wait(KILL_TIMEOUT_S)


def start_mark(pid: int) -> str | None:
    """When the process with this id started, as the system tells it; None if there is none, or only a zombie.

    Together with the id it names one process for good: an id alone may have been given to another process since.
    """
    return _start_mark_from_proc(pid) if Path("/proc/self/stat").exists() else _start_mark_from_ps(pid)


def _start_mark_from_proc(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return None
    # The second field, the command in parentheses, may itself hold spaces and parentheses.
    state, *fields = stat.rpartition(")")[2].split()
    ticks_since_boot = fields[18]
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    return None if state in "ZX" else f"{boot} {ticks_since_boot}"


def _start_mark_from_ps(pid: int) -> str | None:
    answer = subprocess.run(
        ["/bin/ps", "-o", "state=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, started = answer.stdout.strip().partition(" ")
    return started.strip() if started and not state.startswith("Z") else None

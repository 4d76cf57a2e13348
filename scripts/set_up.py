"""``make`` runs it, once: makes the virtual environment and installs into it what requirements.lock pins.

It says what it does and how far it is. Ctrl-C at any moment leaves no process behind, and the next run starts over.
Exit codes: 0 done; 1 a step failed; 2 this Python is too old; 130 Ctrl-C.
"""

# Only the standard library: nothing else is there yet. Until there is something to clean up, Ctrl-C simply ends it.
import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import contextlib
import os
import re
import selectors
import ssl
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"
LOOK_EVERY_S = 0.2
TELL_EVERY_S = 10.0  # where it cannot be one line that changes
STOP_S = 10.0
KEPT_LINES = 15


class StepError(Exception):
    """A program failed; says which, and the end of what it said."""


class SignalError(Exception):
    """We are to end; its argument is the signal's number."""


class Signals:
    """Remembers the first signal. It interrupts nothing by itself: no child can be lost between start and finish."""

    def __init__(self) -> None:
        self._number = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
                signal.signal(number, self._remember)

    def check(self) -> None:
        """Raise SignalError if there was one."""
        if self._number:
            raise SignalError(self._number)

    def _remember(self, number: int, _frame: object) -> None:
        self._number = self._number or number


class Teller:
    """Says what is done: on a terminal in one line that changes, elsewhere in a line now and then."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._every_s = LOOK_EVERY_S if self._terminal else TELL_EVERY_S
        self._phase = ""
        self._begun = self._told = time.monotonic()

    def show(self, phase: str, detail: str = "") -> None:
        """Say that a phase begins, or, now and then, how far it is."""
        now = time.monotonic()
        if phase != self._phase:
            self.end()
            self._phase, self._begun, self._told = phase, now, now
            self._write(phase)
        elif now - self._told >= self._every_s:
            self._told = now
            self._write(f"{phase}: {detail}{now - self._begun:.0f} s")

    def end(self) -> None:
        """Say how long the phase took, where its line still stands open."""
        if self._terminal and self._phase:
            self._write(f"{self._phase}: {time.monotonic() - self._begun:.0f} s")
            print(flush=True)
        self._phase = ""

    def _write(self, line: str) -> None:
        if self._terminal:
            print(f"\r\x1b[K{line[: (os.get_terminal_size().columns or 80) - 1]}", end="", flush=True)
        else:
            print(line, flush=True)


class Program:
    """What one program does, by the lines that it prints: its phase, and how far it is."""

    def __init__(self, phase: str) -> None:
        self.phase = phase
        self.tail: deque[str] = deque(maxlen=KEPT_LINES)
        self.detail = ""  # how far it is, where that is known; with a comma at its end

    def hear(self, line: str) -> None:
        """Take in what it has printed."""
        if line:
            self.tail.append(line)

    def look(self) -> None:
        """Find out how far it is when it says nothing."""


class PipInstall(Program):
    """pip, which collects all packages first, and then installs them without a word."""

    def __init__(self, venv: Path) -> None:
        self._venv = venv
        self._wanted = len(re.findall(r"^[^\s#]+==", LOCK.read_text(encoding="utf-8"), re.MULTILINE))
        self._collected = self._before = 0
        self._latest = ""
        super().__init__("Fetching packages")

    def hear(self, line: str) -> None:
        """Take in what it has printed."""
        super().hear(line)
        word, _, rest = line.strip().partition(" ")
        if word == "Collecting":
            self._collected += 1
            self._latest = re.split(r"[=\[ ]", rest)[0]
        elif word == "Ignoring":  # its marker says: not on this system, or not on this Python
            self._wanted -= 1
        elif line.startswith("Installing collected packages:"):
            self.phase = "Installing packages"
            self._before = self._installed()
            self._wanted = line.count(",") + 1
        self.look()

    def look(self) -> None:
        """Count them."""
        if self.phase == "Installing packages":
            self.detail = f"{self._installed() - self._before} of {self._wanted}, "
        elif self._latest:
            self.detail = f"{self._collected} of {self._wanted}, {self._latest}, "

    def _installed(self) -> int:
        return len(list(self._venv.glob("lib/python*/site-packages/*.dist-info")))


def run(command: "list[str | Path]", program: Program, signals: Signals, teller: Teller, **environment: str) -> None:
    """Run a program, and tell of it; StepError when it fails, SignalError after a signal. It is gone on return."""
    signals.check()
    # In a group of its own: Ctrl-C at the terminal reaches us alone, and we end the program with all that it started.
    child = subprocess.Popen(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=0,
    )
    try:
        listen(child, program, signals, teller)
    except BaseException:
        stop(child)
        raise
    if child.wait():
        teller.end()
        raise StepError("\n".join([f"{command[2]} ended with exit code {child.returncode}; it said:", *program.tail]))


def listen(child: "subprocess.Popen[bytes]", program: Program, signals: Signals, teller: Teller) -> None:
    """Hear what the child prints, until it prints no more."""
    assert child.stdout is not None
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while True:
            signals.check()
            if selector.select(LOOK_EVERY_S):
                read = os.read(child.stdout.fileno(), 65_536)
                if not read:
                    return
                *lines, rest = (rest + read).split(b"\n")
                for line in lines:
                    program.hear(line.decode(errors="replace").rstrip())
            program.look()
            teller.show(program.phase, program.detail)


def stop(child: "subprocess.Popen[bytes]") -> None:
    """End the child and all that it has started; at SIGINT pip removes its temporary files."""
    with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
        os.killpg(child.pid, signal.SIGINT)
        child.wait(STOP_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def certificates(config: "deque[str]") -> "dict[str, str]":
    """For pip before 24.2, which knows its own alone: the system's certificates, or SSL_CERT_FILE.

    None if others are named, in the environment or in pip's own ``config``.
    """
    named = {"PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"} & set(os.environ)
    elsewhere = sys.platform != "linux" and "SSL_CERT_FILE" not in os.environ  # in no file; a newer pip finds them
    if named or elsewhere or any(".cert=" in line for line in config):
        return {}
    found = ssl.get_default_verify_paths()
    bundle = found.cafile or found.capath
    return {"PIP_CERT": bundle} if bundle else {}


def set_up(venv: Path, signals: Signals, teller: Teller) -> None:
    """Make the environment anew, and fill it."""
    run([sys.executable, "-m", "venv", "--clear", venv], Program(f"Making {venv}"), signals, teller)
    pip: list[str | Path] = [venv / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "--no-color"]
    config = Program("Fetching packages")
    run([*pip, "config", "list"], config, signals, teller)
    trusted = certificates(config.tail)
    install = [*pip, "install", "--progress-bar", "off"]
    locked = [*install, "--require-hashes", "--requirement", LOCK]
    run(locked, PipInstall(ROOT / venv), signals, teller, **trusted)
    itself = [*install, "--no-deps", "--no-build-isolation", "--editable", "."]
    run(itself, Program("Installing lastword itself"), signals, teller, **trusted)


def main(venv: Path) -> int:
    """Set up; the exit code."""
    if sys.version_info < (3, 11):  # noqa: UP036 - run by whatever Python there is
        is_what = f"Python {sys.version.split()[0]} is what '{sys.executable}' is"
        sys.stderr.write(f"Python 3.11 or later is needed, {is_what}: make PYTHON=python3.12 …\n")
        return 2
    signals, teller = Signals(), Teller()
    begun = time.monotonic()
    print(f"Setting up {venv}, once", flush=True)
    try:
        set_up(venv, signals, teller)
    except StepError as error:
        sys.stderr.write(f"Setting up {venv} failed: {error}\n")
        return 1
    except SignalError as error:
        teller.end()
        sys.stderr.write("interrupted; the next make starts over\n")
        return 128 + int(error.args[0])
    teller.end()
    print(f"Set up in {time.monotonic() - begun:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".venv")))

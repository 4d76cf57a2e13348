"""Ctrl-C in every command of ours: one line or none, exit code 130, never a traceback.

Python itself raises KeyboardInterrupt wherever the program happens to be. In a command there are three times:

- It is still being imported. Nothing has begun, so the process ends at once: `stand_behind_import`.
- It runs. The first Ctrl-C raises KeyboardInterrupt, so that what was begun is ended. Later ones are ignored: cleaning
  up is bounded, and a second one would leave it half done: `run`.
- It has ended. Ctrl-C is ignored until the process is gone.

This module is imported before all others, so it imports as little as it can, and nothing outside the standard library.
"""

import os
import sys

# As typing has it, without a millisecond for importing that.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType, TracebackType
    from typing import NoReturn

    import click

EXIT_INTERRUPTED = 130
LINE = b"lastword: interrupted\n"
AGAIN_S = 0.01


def stand_behind_import(package: str, script: str = "") -> None:
    """Until main begins, let Ctrl-C end the process at once; no effect unless it is a command of the package's.

    Called in the package's first line. A service that imports the package keeps its own way with Ctrl-C. Commands are
    ``python -m package...``, and the installed ``script``.
    """
    if sys.argv[0] == "-m":  # Python is looking for the module; in orig_argv its name is as far from the end
        ours = sys.orig_argv[-len(sys.argv)].removeprefix("-m").partition(".")[0] == package
    else:
        ours = bool(script) and os.path.basename(sys.argv[0]) == script  # noqa: PTH119 - pathlib is an import more
    if ours:
        leave_at_once()


def leave_at_once() -> None:
    """From now on, let Ctrl-C end the process with one line, whatever it is doing: no ``finally``, no exit handlers."""
    sys.excepthook = _silent_hook  # before the import below, which takes a moment
    import signal  # noqa: PLC0415

    # Ignored from the start: a job in the background of a shell without job control. It stays so.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _leave)


def stands() -> bool:
    """Whether Ctrl-C ends the process at once."""
    import signal  # noqa: PLC0415

    return signal.getsignal(signal.SIGINT) is _leave


def as_python_does() -> None:
    """From now on, let every Ctrl-C raise KeyboardInterrupt, if it ends the process at once so far."""
    import signal  # noqa: PLC0415

    if stands():
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.excepthook = sys.__excepthook__


def run(main: "Callable[[], int | None]") -> "NoReturn":
    """Call ``main`` and end the process with its exit code (None: 0), or with 130 after Ctrl-C."""
    code: int | None
    try:
        try:
            raise_once()
            code = main()
        finally:
            _ignore()
    except KeyboardInterrupt:
        _say_so()
        code = EXIT_INTERRUPTED
    sys.exit(code)


def run_click(
    command: "click.Command", prog_name: str | None = None, arguments: "Sequence[str] | None" = None
) -> "NoReturn":
    """Run a click command; its own handling of Ctrl-C prints "Aborted!" and exits with 1. ``arguments``: sys.argv's."""
    import click  # noqa: PLC0415

    def main() -> int:
        try:
            code = command.main(arguments, prog_name=prog_name, standalone_mode=False)
        except click.Abort as error:
            raise KeyboardInterrupt from error
        except click.ClickException as error:
            error.show()
            return error.exit_code
        return code if isinstance(code, int) else 0

    run(main)


def raise_once() -> None:
    """From now on, let the first Ctrl-C raise KeyboardInterrupt, and ignore what comes after it."""
    import atexit  # noqa: PLC0415
    import signal  # noqa: PLC0415

    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        atexit.register(_ignore)  # also where main is Celery's
        sys.unraisablehook = _unraisable_hook
        signal.signal(signal.SIGALRM, _raise)
        signal.signal(signal.SIGINT, _raise)


def celery_command() -> str:
    """The command of Celery's command line that runs in this process, such as ``worker``; in any other process none."""
    if "celery.bin.celery" not in sys.modules:
        return ""
    import click  # noqa: PLC0415

    context = click.get_current_context(silent=True)
    return (context and context.invoked_subcommand) or ""


def _ignore() -> None:
    import signal  # noqa: PLC0415

    for number in (signal.SIGINT, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)


def _leave(number: int, frame: "FrameType | None") -> "NoReturn":
    del number, frame
    _say_so()
    os._exit(EXIT_INTERRUPTED)


def _say_so() -> None:
    # Not by sys.stderr: it may have been interrupted in the middle of a line, and then refuses another.
    try:  # noqa: SIM105 - contextlib is an import more
        os.write(2, LINE)
    except OSError:  # there is no standard error, or nobody reads it any more
        pass


def _raise(number: int, frame: "FrameType | None") -> "NoReturn":
    del number, frame
    import signal  # noqa: PLC0415

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _silent_hook(kind: type[BaseException], error: BaseException, trace: "TracebackType | None") -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)


def _unraisable_hook(unraisable: "sys.UnraisableHookArgs") -> None:
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)
        return
    # It was raised where Python can only throw it away, in a __del__ or a callback: it comes again, a moment later.
    import signal  # noqa: PLC0415

    signal.setitimer(signal.ITIMER_REAL, AGAIN_S)

"""Python imports this at its start: the unmodified product, with constants and patches of a test around it."""

import faulthandler
import os
import signal
import traceback
from importlib import import_module

from tests.injected import constants

faulthandler.register(signal.SIGRTMIN)  # tests/worker_helpers.py asks one that may hang where its threads are
try:
    constants.install()
    if "HISTORY_FILE" in os.environ:  # tests/history/recorder.py
        recorder = import_module("tests.history.recorder")
        for name in os.environ[recorder.PATCHES].split():
            import_module(name)
        recorder.install(os.environ[recorder.FILE])
except Exception as error:
    # The edge of the process; site.py would pass over an Exception, and the test would be about something else.
    traceback.print_exc()
    raise SystemExit(1) from error

"""Python imports this at its start: the unmodified product, with our recorder and a control's patches around it."""

import os
import traceback
from importlib import import_module

from tests.history import recorder

try:
    for name in os.environ[recorder.PATCHES].split():
        import_module(name)
    recorder.install(os.environ[recorder.FILE])
except Exception as error:
    # The edge of the process; site.py would pass over an Exception, and nothing would be recorded.
    traceback.print_exc()
    raise SystemExit(1) from error

"""Loaded into workers and bridges: it records each write, before and after, here and in Redis, in Redis's own order."""

import hashlib
import json
import os
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from lastword.cache import cache, write_script
from lastword.cache.cache import Cache, Write, Written
from lastword.contract.outcome import Outcome
from tasks.lock.grant import Asked, Grant
from tests.injected.constants import injected_path

FILE: Final = "HISTORY_FILE"
PATCHES: Final = "HISTORY_PATCHES"

# The product's script as it stands, as the body of a function, and one more step: what it was given, what it answered
# and what the key holds then go to a list beside the product, in the same atomic step. An error of that step (memory is
# full and nothing had to be written) changes nothing of the answer.
WRAPPING: Final = b"""
local function write_if_newer()
%s
end
local answer = write_if_newer()
if type(answer) ~= 'table' then
  local held = redis.call('HMGET', KEYS[1], 'version', 'token', 'deleted')
  local time = redis.call('TIME')
  local at_us = time[1] .. string.format('%%06d', time[2])
  local list = string.find(KEYS[1], '{', 1, true) and 'history:' .. KEYS[1] or 'history:{' .. KEYS[1] .. '}'
  local entry = {ARGV[1], ARGV[3], ARGV[4], answer, held[1] or '', held[2] or '', held[3] or '', at_us}
  redis.pcall('RPUSH', list, table.concat(entry, '|'))
end
return answer
"""

_session = threading.local()


def environment(file: Path, patches: Sequence[str] = ()) -> dict[str, str]:
    """What a process must have in its environment to be recorded in ``file``; ``patches`` are modules it imports."""
    return {"PYTHONPATH": injected_path(), FILE: str(file), PATCHES: " ".join(patches)}


def history_key(key: str) -> str:
    """The list that has what the script did to ``key``, in the same slot of a Cluster."""
    return f"history:{key}" if "{" in key else f"history:{{{key}}}"


def install(file: str) -> None:
    """Wrap the script, and the calls of this process that acquire and write. Forked children are recorded too."""
    log = _Log(file)
    _wrap_script()
    _wrap_grant()
    _wrap_write(log)


class _Log:
    """Lines of JSON. Each is one write to a file opened for appending: it survives a SIGKILL, and lines never mix."""

    def __init__(self, file: str) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def append(self, event: Mapping[str, object]) -> None:
        line = json.dumps({**event, "at": time.time(), "pid": os.getpid()}) + "\n"
        os.write(self._file, line.encode())


def _wrap_script() -> None:
    script = WRAPPING % write_script._SCRIPT
    write_script._SCRIPT_SHA = hashlib.sha1(script, usedforsecurity=False).hexdigest()  # type: ignore[misc]
    for module in (write_script, cache):
        vars(module)["LOAD"] = ("SCRIPT LOAD", script)


def _wrap_grant() -> None:
    granting = Asked.grant

    def noting_grant(self: Asked) -> Grant:
        grant = granting(self)
        _session.id = grant._session._id  # the same thread writes under this grant
        return grant

    Asked.grant = noting_grant  # type: ignore[method-assign]


def _wrap_write(log: _Log) -> None:
    write = Cache.write

    def recording_write(self: Cache, writes: Sequence[Write]) -> list[Written]:
        number = uuid.uuid4().hex
        sent = [[w.update.entity_id, str(w.update.version), w.token] for w in writes]
        log.append({"attempt": number, "session": getattr(_session, "id", None), "writes": sent})
        try:
            answers = write(self, writes)
        except BaseException as error:
            # Not the same as no answer: this process lives, and was told nothing that it could have passed on.
            log.append({"answer": number, "answers": [repr(error)] * len(writes)})
            raise
        log.append({"answer": number, "answers": [a.value if isinstance(a, Outcome) else repr(a) for a in answers]})
        return answers

    Cache.write = recording_write  # type: ignore[method-assign]

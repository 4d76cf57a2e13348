"""Reads what the recorder has written in the workers."""

import json
from pathlib import Path
from typing import Any

from lastword.contract.version import Version
from tests.history.events import Attempt


def read_attempts(file: Path) -> list[Attempt]:
    """Every write that a worker has begun, in the order of their beginnings."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    events: list[dict[str, Any]] = [json.loads(line) for line in lines]
    answers = {event["answer"]: event for event in events if "answer" in event}
    attempts = []
    for event in events:
        for place, (product, version, token) in enumerate(event.get("writes", ())):
            answer = answers.get(event["attempt"])
            attempt = Attempt(
                product, Version.parse(version), token, event["session"], event["pid"], int(event["at"] * 1e6)
            )
            if answer:
                attempt = attempt._replace(answer=answer["answers"][place], answered_us=int(answer["at"] * 1e6))
            attempts.append(attempt)
    return attempts

"""From what was found about a product to what is said of it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from lastword.cache.cache import TaskFailure
from lastword.cache.flow_note import FlowNote
from lastword.cache.held import Held
from lastword.commands.inspecting.entity_search import Findings, Sighting
from lastword.commands.inspecting.facts import Facts
from lastword.commands.inspecting.inspect_report import show
from lastword.commands.inspecting.verdict import Code, judge
from lastword.commands.parameters import RecordId
from lastword.commands.replaying.letter import StoredDeadLetter
from lastword.contract.record import Rules
from lastword.contract.version import Version
from lastword.kafka.group import Group, Progress
from tasks.broker.under_way import TaskState, UnderWay
from tasks.lock.inspection import Holder, Locking

NOW_S = 1_763_800_100.0
FREE = Locking("/lastword/locks/73/p42", None, 1, ("host:1",))
LOCKED = replace(FREE, holder=Holder("0x10", "host:7", "00000000000000ab", NOW_S - 5))
QUIET = UnderWay(3, ("worker@host",), {})
FAILURE = TaskFailure(task_id="t:0:9", version=Version(3, 0), nonce="n", error="ValueError", message="no")


def at(offset: int, version: int | None, data: bytes | None = b"1", *, deleted: bool = False) -> Sighting:
    read = None if version is None else Version(version, 0)
    return Sighting(0, offset, 1_000 + offset, read, deleted, data, "" if version is not None else "no JSON")


def found(*sightings: Sighting) -> Findings:
    findings = Findings("42", Rules(), keep=5)
    findings.partitions, findings.looked_at = [0], 20
    for sighting in sightings:
        findings.add(sighting)
    return findings


def letter(offset: int, version: int | None) -> StoredDeadLetter:
    return StoredDeadLetter(
        record_id=RecordId(0, 1),
        at_ms=1,
        key=b"42",
        value=None,
        headers=[],
        topic="t",
        origin=RecordId(0, offset),
        timestamp_ms=1_000 + offset,
        stage="apply",
        error="UnusableKeyError",
        reason="another type",
        version=None if version is None else Version(version, 0),
        omitted={},
    )


def facts(held: int | None, *sightings: Sighting, committed: int | None = 10, **others: Any) -> Facts:  # noqa: ANN401
    """Version ``held`` with the data that all have, these records, and offsets from 0 to 10."""
    return Facts(
        "42",
        "t",
        Held("product:42") if held is None else Held("product:42", "hash", Version(held, 0), data=b"1"),
        Group("g", 1, {0: Progress(0, 10, committed, "bridge at host")}),
        found(*sightings),
        others.pop("letters", ()),
        others.pop("locking", FREE),
        others.pop("under_way", QUIET),
        task_id="t:0:9",
        now_s=NOW_S,
        **others,
    )


def by_position(held: int, last: int) -> Facts:
    """What is held by a source's position, of its fifth generation, and the last record at another one."""
    records = [replace(at(8, 1), version=Version.at(held, 5)), replace(at(9, 1), version=Version.at(last, 5))]
    now = facts(1, *records)
    return replace(now, held=replace(now.held, version=Version.at(held, 5)))


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        (by_position(3, 3), Code.FRESH, "the newest version of the topic"),
        (by_position(3, 2), Code.FRESH, "LASTWORD_POSITIONS_ANEW"),
        (facts(3, at(9, 3)), Code.FRESH, "the newest version of the topic: 3-0, at partition 0 offset 9"),
        (facts(4, at(9, 3)), Code.FRESH, "newer than all records that were looked at: 3-0"),
        (facts(3), Code.FRESH, "among the 20 records of partitions [0] is no record of the product"),
        (facts(3, at(8, 3), at(9, 2)), Code.FRESH, "offset 9, is older than that: version 2-0"),
        (facts(int(NOW_S + 60) * 10**6), Code.FRESH, "is 60 s ahead of this machine's clock"),
        (facts(3, at(8, 3, b"2"), at(9, 3)), Code.CONFLICT, "version 3-0 came with 2 contents"),
        (facts(3, at(8, 3), at(9, 3, b"2")), Code.CONFLICT, "version 3-0 came with 2 contents"),
        (facts(3, at(8, 3), at(9, 3)), Code.FRESH, "at partition 0 offset 9"),
        (facts(3, at(9, 3, b"2")), Code.DAMAGED, "with another content"),
        (facts(3, at(9, 3, None, deleted=True)), Code.DAMAGED, "with another content"),
        (facts(3, at(9, 3, None)), Code.FRESH, "is a notice: the state that Redis holds was loaded"),
        (facts(3, at(8, 3, b"2"), at(9, 3, None)), Code.FRESH, "is a notice"),
        (facts(None), Code.UNKNOWN, "LASTWORD_KEY_PREFIX"),
        (facts(2, at(9, 3)), Code.LOST, "Redis has held it and lost it"),
        (facts(None, at(9, 3)), Code.LOST, "Redis holds nothing, and partition 0 offset 9 has version 3-0"),
        (facts(2, at(9, 3), committed=9), Code.IN_FLIGHT, "committed offset 9 in partition 0; lag 1 record"),
        (facts(2, at(9, 3), committed=None), Code.IN_FLIGHT, "committed nothing in partition 0; lag 10 records"),
        # Committed on a topic of the same name that is gone.
        (facts(2, at(9, 3), committed=11), Code.IN_FLIGHT, "lag 10 records"),
        (facts(2, at(9, 3), committed=9, failure=FAILURE), Code.FAILED, "ValueError: no"),
        (facts(3, at(8, 3), at(9, None)), Code.INVALID, "offset 9, is invalid: no JSON | "),
        (facts(3, at(8, None), at(9, 3)), Code.FRESH, "offset 9"),
        (facts(2, at(8, 3), at(9, None)), Code.LOST, "offset 8 has version 3-0"),
        (facts(None, at(9, None), letters=(letter(9, None),)), Code.INVALID, "is invalid and a dead letter: no JSON"),
        (facts(2, at(9, 3), letters=(letter(9, 3),)), Code.DEAD_LETTER, "UnusableKeyError: another type"),
        # It was invalid for the bridge, and is not for us: a time in the future, say.
        (facts(2, at(9, 3), letters=(letter(9, None),)), Code.DEAD_LETTER, "3-0 at partition 0 offset 9"),
        # Of a topic of the same name that is gone.
        (facts(2, at(9, 3), letters=(letter(9, 1),)), Code.LOST, "3-0"),
        (facts(2, at(9, 3), letters=(replace(letter(9, None), timestamp_ms=77),)), Code.LOST, "3-0"),
        (
            facts(3, at(9, None), letters=(replace(letter(9, None), timestamp_ms=77),)),
            Code.INVALID,
            "is invalid: no JSON",
        ),
        (facts(2, letters=(letter(8, 4), letter(9, 3))), Code.DEAD_LETTER, "4-0 at partition 0 offset 8"),
        (facts(2, letters=(letter(9, 3),)), Code.DEAD_LETTER, "3-0 at partition 0 offset 9"),
        (facts(3, at(9, 3), letters=(letter(9, 3),)), Code.FRESH, "3-0"),
        (facts(2, at(8, 3), at(9, 4), committed=9, letters=(letter(8, 3),)), Code.IN_FLIGHT, "4-0"),
        # Sent again: the later record is on its way.
        (facts(2, at(8, 3), at(9, 3), committed=9, letters=(letter(8, 3),)), Code.IN_FLIGHT, "offset 9"),
        (replace(facts(None), held=Held("product:42", "list")), Code.UNUSABLE_KEY, "holds a list"),
    ],
)
def test_each_case_has_its_verdict(given: Facts, code: Code, said: str) -> None:
    verdict = judge(given)

    assert verdict.code == code, verdict.says
    assert said in " | ".join(verdict.says)
    assert verdict.fresh == (code in {Code.FRESH, Code.CONFLICT})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"group": Group("g", 0, {0: Progress(0, 10, 9)})}, "no bridge is running in group 'g'"),
        ({"group": Group("g", 2, {0: Progress(0, 10, 9)})}, "of 2 bridges in group 'g' none has its partition"),
        ({"under_way": UnderWay(3, (), {})}, "no worker answers; 3 tasks"),
        ({"under_way": QUIET}, "of 1 worker none is at it"),
        ({"under_way": UnderWay(0, ("w",), {"t:0:9": TaskState("w", "active", NOW_S - 2)})}, "t:0:9: active for 2.0 s"),
        (
            {"under_way": UnderWay(0, ("w",), {"t:0:9@2-n": TaskState("w", "scheduled", None, NOW_S + 3)})},
            "worker w has its task t:0:9@2-n: it waits for its retry, for 3.0 s more",
        ),
        ({"under_way": replace(QUIET, revoked=("t:0:9",))}, "its task t:0:9 was revoked: workers discard it"),
        (
            {"under_way": replace(QUIET, elsewhere=QUIET.workers, queue="q")},
            "nobody reads the queue 'q', not even worker@host: started so (-Q, -X)",
        ),
        ({"under_way": replace(QUIET, limits={"w": "1/m of tasks.x"})}, "worker w runs only 1/m of tasks.x"),
        ({"under_way": "redis://x: refused"}, "the Celery broker cannot be asked: redis://x: refused"),
        ({"locking": LOCKED}, "session 0x10 (host:7) for 5.0 s, since 2025-11-22T08:28:15Z"),
        ({"locking": "ZooKeeper at x: no"}, "its lock cannot be looked at: ZooKeeper at x: no"),
        ({"started": ("host, process 7, now",)}, "has begun 1 time without an end"),
    ],
)
def test_what_is_in_flight_has_its_hindrance(changed: dict[str, Any], said: str) -> None:
    sentences = judge(replace(facts(2, at(9, 3), committed=9), **changed)).says
    assert said in " | ".join(sentences)


def test_a_free_lock_and_a_bridge_at_work_are_no_hindrance() -> None:
    sentences = " | ".join(judge(facts(2, at(9, 3), committed=9)).says)
    assert "its lock" not in sentences
    assert "bridge" not in sentences


def test_json_has_the_facts_and_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    given = facts(2, at(9, 3, b"\xff"), committed=9, failure=FAILURE, letters=(letter(7, 1),), locking=LOCKED)
    show(given, judge(given), as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["held"]["version"] == "2-0"
    assert told["topic"]["newest"]["version"] == "3-0"
    assert told["topic"]["newest"]["data"] == "\\xff"
    assert told["group"]["progress"]["0"]["committed"] == 9
    assert told["locking"]["holder"]["session"] == "0x10"
    assert told["failure"]["version"] == "3-0"
    assert told["letters"][0]["reason"] == "another type"
    assert told["verdict"] == {"code": "failed", "fresh": False, "says": list(judge(given).says)}


def test_what_a_terminal_would_obey_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    given = facts(3, at(9, 3, b'"\x1b[2J"'))
    show(given, judge(given), as_json=False)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert r"\x1b[2J" in out


def test_long_data_is_cut_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    given = facts(3, at(9, 3, b"x" * 1_000))
    show(given, judge(given), as_json=False)
    assert max(len(line) for line in capsys.readouterr().out.splitlines()) < 300


def test_keys_that_are_another_topics_are_said_to_be() -> None:
    note = FlowNote("orders", "g", "order", "c1")
    for given in (facts(None), facts(2, at(9, 3), committed=9)):
        said = judge(replace(given, note=note)).says
        assert any("are written from topic 'orders'; LASTWORD_TOPIC is" in sentence for sentence in said)
        assert not any("are written from topic" in sentence for sentence in judge(given).says)

"""The rules that must hold of a history, and what the checker has to say of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

SHOWN: Final = 5


class Rule(Enum):
    """What is checked; the value says it."""

    VERSIONS = "of every product, what Redis holds only grows: accepted versions strictly, at one version the token"
    SOURCES = "what the workers recorded and what Redis recorded confirm each other"
    LOCKS = "in ZooKeeper's order, nobody holds a product's lock while another does, nor deletes another's"
    TOKENS = "each write carries the token of one of its product's locks, and came from the session that held it"
    FRESH = "in the end the cache holds the newest of every product, as it was published"
    COMMITS = "no committed offset passes an update that was not visible then"
    REWINDS = "committed offsets go backwards only after Redis has become another data set"
    LETTERS = "no good update is dead-lettered"
    LEFT_BEHIND = "no lock is left, no guard without its session, and no other znode"
    SUBSTANCE = "there was something to check"


class Violation(NamedTuple):
    """A rule that was broken, and by what."""

    rule: Rule
    evidence: str


@dataclass(frozen=True)
class Report:
    """What was checked, how much, and what was found."""

    counts: Mapping[str, int]
    violations: Sequence[Violation] = field(default_factory=list)

    @property
    def violated(self) -> frozenset[Rule]:
        """The rules that do not hold."""
        return frozenset(violation.rule for violation in self.violations)

    def __str__(self) -> str:
        broken = Counter(violation.rule for violation in self.violations)
        lines = ["checked: " + ", ".join(f"{count} {what}" for what, count in self.counts.items())]
        for rule in Rule:
            lines.append(
                f"{f'{broken[rule]} TIMES BROKEN' if broken[rule] else 'holds':>15}  {rule.name}: {rule.value}"
            )
            told = [violation.evidence for violation in self.violations if violation.rule is rule]
            lines += [f"{'':>17}{evidence}" for evidence in told[:SHOWN]]
            lines += [f"{'':>17}and {len(told) - SHOWN} more"] if len(told) > SHOWN else []
        return "\n".join(lines)

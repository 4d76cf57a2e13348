"""A ZooKeeper ensemble as child processes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from servers.errors import ServerError
from servers.group import Group
from servers.identity import MYID, check_ids, refuse_foreign_zookeeper
from servers.ports import LOOPBACK, free_port
from servers.server import Server
from servers.zookeeper import DEFAULT_TICK_MS, ZooKeeper, mode_in


@dataclass(frozen=True)
class ZooKeeperPorts:
    """Where a member listens: for clients, for its followers when it leads, and for votes."""

    client: int
    quorum: int
    election: int

    @classmethod
    def drawn(cls) -> Self:
        """Free ones."""
        return cls(free_port(), free_port(), free_port())


class ZooKeeperMember(ZooKeeper):
    """One member of an ensemble; it answers as soon as more than half of the members have found each other."""

    def __init__(self, directory: Path, own_id: int, ensemble: Mapping[int, ZooKeeperPorts], *, tick_ms: int) -> None:
        members = {f"server.{each}": f"{LOOPBACK}:{at.quorum}:{at.election}" for each, at in ensemble.items()}
        # Ten ticks to find each other and to fetch what was missed; a follower that is silent for three is dropped.
        settings = {"initLimit": "10", "syncLimit": "3", **members}
        self._own = ensemble[own_id]
        super().__init__(
            directory, port=self._own.client, tick_ms=tick_ms, settings=settings, name=f"zookeeper-{own_id}"
        )
        self._id = own_id

    @property
    def leads(self) -> bool:
        """Whether it is the leader now; False also while it does not answer."""
        try:
            return mode_in(self._ask("srvr")) == "leader"
        except OSError:
            return False

    def check_data(self) -> None:
        """Raise IdentityError when the data is another server's."""
        refuse_foreign_zookeeper(self.name, self._data, self._id)

    def _prepare(self) -> Sequence[str | Path]:
        self._need_free(self._own.quorum, "its followers")
        self._need_free(self._own.election, "elections")
        self._data.mkdir(parents=True, exist_ok=True)
        (self._data / MYID).write_text(f"{self._id}\n", encoding="utf-8")
        return super()._prepare()


class ZooKeeperEnsemble(Group):
    """Three ZooKeeper servers, of which one may be lost: one leads, the others follow.

    ``ids``: the number that each keeps for as long as its data. ``ports``: where each listens; None draws free ones.
    ``tick_ms`` as for ZooKeeper. IdentityError when an id is given twice.
    """

    def __init__(
        self,
        directory: Path,
        *,
        ids: Sequence[int] = (1, 2, 3),
        ports: Sequence[ZooKeeperPorts] | None = None,
        tick_ms: int = DEFAULT_TICK_MS,
    ) -> None:
        check_ids("ZooKeeper id (myid)", ids)
        ensemble = dict(zip(ids, ports or [ZooKeeperPorts.drawn() for _ in ids], strict=True))
        self.members = [
            ZooKeeperMember(directory / f"zookeeper-{own_id}", own_id, ensemble, tick_ms=tick_ms) for own_id in ids
        ]

    def __iter__(self) -> Iterator[Server]:
        yield from self.members

    @property
    def address(self) -> str:
        """``127.0.0.1:PORT,…`` of all members, as clients want it."""
        return ",".join(member.address for member in self.members)

    @property
    def leader(self) -> ZooKeeperMember:
        """The member that leads; ServerError while none does."""
        for member in self.members:
            if member.running and member.leads:
                return member
        raise ServerError("No ZooKeeper leads now: fewer than half of them run, or they have not voted yet")

    @property
    def followers(self) -> list[ZooKeeperMember]:
        """The members that run and do not lead."""
        leader = self.leader
        return [member for member in self.members if member.running and member is not leader]

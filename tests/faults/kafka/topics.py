"""Topics that are deleted and made anew under a flow, past the code under test."""

from confluent_kafka import KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from lastword.kafka import coordinator
from tests.faults.load import not_fresh
from tests.flow import PARTITIONS, Flow
from tests.kafka_helpers import create_topic
from tests.waiting import wait_until

OLD = [f"p{number}" for number in range(20)]
MORE = [f"p{number}" for number in range(60)]
"""The products of a topic before it was made anew, and of a longer one after that."""


class Administrator:
    """Deletes topics and makes them anew."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._admin = AdminClient({"bootstrap.servers": address})

    def id(self, topic: str) -> str | None:
        """The topic's id; None where there is no topic."""
        asked = TopicCollection([topic])
        try:
            return str(self._admin.describe_topics(asked, request_timeout=60)[topic].result().topic_id)
        except KafkaException:
            return None

    def delete(self, topic: str) -> None:
        self._admin.delete_topics([topic])[topic].result()
        wait_until(lambda: self.id(topic) is None, what="the topic gone")

    def create(self, topic: str, *, partitions: int = 1) -> None:
        create_topic(self._address, topic, partitions)
        wait_until(lambda: self.id(topic), what="the topic's id")

    def delete_records(self, topic: str, before: dict[int, int]) -> None:
        """Move the beginnings of partitions."""
        asked = [TopicPartition(topic, number, offset) for number, offset in before.items()]
        for done in self._admin.delete_records(asked).values():
            done.result()


class Topics:
    """The topics of a flow, in the hands of an administrator."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self.administrator = Administrator(flow.environment["KAFKA_BOOTSTRAP_SERVERS"])

    def id(self) -> str | None:
        return self.administrator.id(self._flow.topic)

    def delete(self) -> None:
        self.administrator.delete(self._flow.topic)

    def create(self, *, partitions: int = PARTITIONS) -> None:
        self.administrator.create(self._flow.topic, partitions=partitions)

    def make_anew(self, *, partitions: int = PARTITIONS) -> None:
        self.delete()
        self.create(partitions=partitions)

    def committed(self, partitions: int = PARTITIONS) -> dict[int, tuple[int, str]]:
        """The group's offsets with their metadata; below zero: none."""
        asked = [TopicPartition(self._flow.topic, number) for number in range(partitions)]
        found = coordinator.committed(self._flow.reader, asked, timeout_s=60)
        return {one.partition: (one.offset, one.metadata or "") for one in found}

    def ends(self, partitions: int = PARTITIONS) -> dict[int, int]:
        self._flow.reader.list_topics(self._flow.topic, timeout=60)  # it may know another number of partitions
        asked = [TopicPartition(self._flow.topic, number) for number in range(partitions)]
        return {one.partition: self._flow.reader.get_watermark_offsets(one, timeout=60)[1] for one in asked}

    def wait_until_all_is_read(self, partitions: int = PARTITIONS) -> None:
        """Return when every product is at its newest, and all of the topic of now is committed, as what it is."""
        wait_until(lambda: not not_fresh(self._flow), what="every product at its newest")
        topic = self.id()

        def done() -> bool:
            committed, ends = self.committed(partitions), self.ends(partitions)
            of_now = all(topic in committed[number][1] for number in ends if ends[number]) if topic else True
            return of_now and all(max(0, committed[number][0]) == end for number, end in ends.items())

        wait_until(done, what=f"all committed: {self.ends(partitions)}")

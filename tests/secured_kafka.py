"""A Kafka with TLS, passwords and ACLs, and certificates made for it."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import trustme
from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # are public, not marked
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from confluent_kafka.cimpl import NewTopic
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from servers import Kafka, KafkaSecurity
from tests.commands import PASSWORD

ADMIN = "admin"
USERS = ("lastword", "other")


def new_security(directory: Path, *, users: Sequence[str] = USERS) -> KafkaSecurity:
    """Certificates for 127.0.0.1, and only that name, from an authority of their own."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    # Kafka reads PKCS #8, trustme writes what OpenSSL used to.
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    certificate, ca = directory / "kafka.pem", directory / "ca.pem"
    certificate.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + b"".join(part.bytes() for part in issued.cert_chain_pems)
    )
    authority.cert_pem.write_to_path(ca)
    passwords = {name: f"{PASSWORD}-of-{name}" for name in (ADMIN, *users)}
    return KafkaSecurity(certificate, ca, passwords, ADMIN)


class SecuredKafka:
    """The running server, and what its admin does."""

    def __init__(self, server: Kafka, security: KafkaSecurity) -> None:
        self.server = server
        self.security = security

    @cached_property
    def admin(self) -> AdminClient:
        return AdminClient({**self.properties(ADMIN), "log_level": 0})

    def properties(self, user: str = "lastword") -> dict[str, str | int | bool]:
        return {"bootstrap.servers": self.server.address, **self.security.client(user)}

    def environment(self, user: str = "lastword", **properties: str) -> dict[str, str]:
        """How a command is told of this Kafka and of its user."""
        given = {name.replace(".", "_"): str(value) for name, value in self.security.client(user).items()}
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.server.address,
            **{f"LASTWORD_KAFKA_{name}".upper(): value for name, value in (given | properties).items()},
        }

    def create_topic(self, topic: str, partitions: int = 1) -> None:
        self.admin.create_topics([NewTopic(topic, num_partitions=partitions)])[topic].result(timeout=120)

    def produce(self, topic: str, value: bytes) -> None:
        producer = Producer(self.properties(ADMIN))
        producer.produce(topic, value)
        assert producer.flush(60) == 0

    def allow(self, kind: str, name: str, *operations: str, user: str = "lastword") -> None:
        """Give ``user`` operations, such as READ, on a TOPIC or GROUP of this name."""
        acls = [self._acl(kind, name, operation, user) for operation in operations]
        for future in self.admin.create_acls(acls).values():
            future.result(timeout=120)

    def forbid(self, kind: str, name: str, *, user: str = "lastword") -> None:
        """Take all of ``user``'s permissions on a TOPIC or GROUP away."""
        any_of_them = AclBindingFilter(
            ResourceType[kind],
            name,
            ResourcePatternType.LITERAL,
            f"User:{user}",
            None,  # type: ignore[arg-type]  # any host
            AclOperation.ANY,
            AclPermissionType.ANY,
        )
        for future in self.admin.delete_acls([any_of_them]).values():
            assert future.result(timeout=120)

    def change_password(self, user: str, password: str) -> None:
        credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4_096)
        upsertion = UserScramCredentialUpsertion(user, credential, password.encode())
        for future in self.admin.alter_user_scram_credentials([upsertion]).values():
            future.result(timeout=120)

    @staticmethod
    def _acl(kind: str, name: str, operation: str, user: str) -> AclBinding:
        return AclBinding(
            ResourceType[kind],
            name,
            ResourcePatternType.LITERAL,
            f"User:{user}",
            "*",
            AclOperation[operation],
            AclPermissionType.ALLOW,
        )

"""What a secured Kafka needs to know: its certificate, its users and their passwords."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

MECHANISM = "SCRAM-SHA-512"
LISTENER = "listener.name.sasl_ssl"
MODULES = "org.apache.kafka.common.security"


@dataclass(frozen=True)
class KafkaSecurity:
    """TLS and passwords for a Kafka: a SASL_SSL listener, and ACLs without which nobody but the admin may do anything.

    ``certificate``: a PEM file, private key (PKCS #8) and chain; its names must hold the server's address, which every
    client checks. ``ca``: the PEM file of who signed it. ``users``: passwords by name, for SCRAM-SHA-512 and PLAIN;
    at the first start they are seen on a command line for a moment, and later changed in Kafka only. ``admin`` is the
    super user among them.
    """

    certificate: Path
    ca: Path
    users: Mapping[str, str] = field(repr=False)
    admin: str

    def settings(self) -> dict[str, str | int | Path]:
        """The broker's settings; its own password is among them."""
        # Java reads a PEM store whose key is in PKCS #8 without a password.
        stores = {f"ssl.{store}.type": "PEM" for store in ("keystore", "truststore")}
        return {
            **stores,
            "ssl.keystore.location": self.certificate,
            "ssl.truststore.location": self.ca,
            "security.inter.broker.protocol": "SASL_SSL",
            "sasl.mechanism.inter.broker.protocol": MECHANISM,
            "sasl.enabled.mechanisms": f"{MECHANISM},PLAIN",
            f"{LISTENER}.{MECHANISM.lower()}.sasl.jaas.config": self._jaas("scram.ScramLoginModule"),
            f"{LISTENER}.plain.sasl.jaas.config": self._jaas("plain.PlainLoginModule"),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            # The controller's listener is plain: whoever comes in there, the broker above all, is ANONYMOUS.
            "super.users": f"User:{self.admin};User:ANONYMOUS",
        }

    def format_arguments(self) -> Iterator[str]:
        """What the storage tool needs in order to know the users before Kafka's first start."""
        for name, password in self.users.items():
            yield "--add-scram"
            yield f"{MECHANISM}=[name={name},password={password}]"

    def client(self, user: str) -> dict[str, str | int | bool]:
        """The librdkafka properties, beside the address, with which ``user`` comes in."""
        return {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": MECHANISM,
            "sasl.username": user,
            "sasl.password": self.users[user],
            "ssl.ca.location": str(self.ca),
        }

    def _jaas(self, module: str) -> str:
        own = {"username": self.admin, "password": self.users[self.admin]}
        if module.startswith("plain"):
            own |= {f"user_{name}": password for name, password in self.users.items()}
        options = " ".join(f"{name}={json.dumps(value)}" for name, value in own.items())
        return f"{MODULES}.{module} required {options};"

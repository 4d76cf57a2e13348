"""Certificates for tests, from an authority that exists for one test run only."""

from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)


class Authority:
    """Issues certificates; its own is in ``pem``."""

    def __init__(self, directory: Path) -> None:
        self._ca = trustme.CA()
        self._directory = directory
        self.pem = directory / "authority.pem"
        self._ca.cert_pem.write_to_path(str(self.pem))

    def issue(self, *names: str) -> Path:
        """A PEM file with a new certificate for these names or addresses, and its key before it, as Java reads it."""
        issued = self._ca.issue_cert(*names)
        path = self._directory / f"{'-'.join(names).replace('.', '_')}.pem"
        path.write_bytes(
            pkcs8(issued.private_key_pem.bytes()) + b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        )
        return path

    def issue_with_encrypted_key(self, name: str, password: str) -> tuple[Path, Path]:
        """The certificate in one PEM file, and its key in another, encrypted."""
        issued = self._ca.issue_cert(name)
        certificate, key = self._directory / f"{name}.cert.pem", self._directory / f"{name}.key.pem"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        key.write_bytes(pkcs8(issued.private_key_pem.bytes(), BestAvailableEncryption(password.encode())))
        return certificate, key


def pkcs8(pem: bytes, encryption: KeySerializationEncryption | None = None) -> bytes:
    """A private key in the one format that Java reads."""
    key = load_pem_private_key(pem, password=None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())

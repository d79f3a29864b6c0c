"""Keys and certificate authorities of people who sign models, made for one test."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from model_signing import signing

PEM = serialization.Encoding.PEM
_DAY = dt.timedelta(days=1)
Period = tuple[float, float]
NOW: Period = (-1.0, 1.0)
"""From yesterday until tomorrow, in days from now."""


@dataclass(frozen=True)
class KeyPair:
    """Files of a private and a public key."""

    private: Path
    public: Path


def private_pem(key: ec.EllipticCurvePrivateKey, password: str | None = None) -> bytes:
    encryption = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, encryption)


def make_key(directory: Path, name: str, password: str | None = None) -> KeyPair:
    """A new key on P-256."""
    key = ec.generate_private_key(ec.SECP256R1())
    made = KeyPair(directory / f"{name}.key", directory / f"{name}.pub")
    made.private.write_bytes(private_pem(key, password))
    made.public.write_bytes(key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    return made


class Authority:
    """Vouches for signers by certificates. `certificate` is its own one's file; `above`: who vouches for it."""

    def __init__(self, directory: Path, name: str, period: Period = NOW, above: Authority | None = None) -> None:
        self._directory = directory
        self._name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        made = (above or self)._issue(name, self._key, period, authority=True)
        self.certificate = directory / f"{name}.crt"
        self.certificate.write_bytes(made.public_bytes(PEM))
        self._chain: list[Path] = [self.certificate, *(above._chain if above else [])]

    def _issue(
        self, subject: str, key: ec.EllipticCurvePrivateKey, period: Period, *, authority: bool
    ) -> x509.Certificate:
        def named(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        now = dt.datetime.now(dt.UTC)
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only",
             "decipher_only"), False,
        )  # fmt: skip
        return (
            x509.CertificateBuilder()
            .subject_name(named(subject))
            .issuer_name(named(self._name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + period[0] * _DAY)
            .not_valid_after(now + period[1] * _DAY)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(digital_signature=not authority, key_cert_sign=authority, crl_sign=authority, **usage),
                critical=True,
            )
            .sign(self._key, hashes.SHA256())
        )

    def sign(self, directory: Path, subject: str, period: Period = NOW, *, authority: bool = False) -> bytes:
        """Sign a directory as somebody for whom this authority vouches, with the library's own tool.

        `authority`: it vouches for an authority, which may sign certificates and nothing else.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        private, certificate, signature = (self._directory / f"signer.{end}" for end in ("key", "crt", "sig"))
        private.write_bytes(private_pem(key))
        leaf = self._issue(subject, key, period, authority=authority)
        certificate.write_bytes(leaf.public_bytes(PEM))
        signing.Config().use_certificate_signer(
            private_key=private, signing_certificate=certificate, certificate_chain=self._chain
        ).sign(directory, signature)
        return signature.read_bytes()


def write(directory: Path, files: Mapping[str, bytes]) -> Path:
    """Put files into a directory."""
    for path, content in files.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_bytes(content)
    return directory


def sign_with_the_tool(directory: Path, key: KeyPair, signature: Path) -> bytes:
    """Sign a directory as `model_signing sign key` does."""
    signing.Config().use_elliptic_key_signer(private_key=key.private).sign(directory, signature)
    return signature.read_bytes()

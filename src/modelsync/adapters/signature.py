"""OpenSSF model signatures, verified by the `model-signing` library without a network.

The library reads files by their names: what is handed to it lies in memory, and has been read and parsed before. It
hashes nothing: the hashes of what was downloaded are known already.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from modelsync.core.signature import Bundle, Signed, SignedFile, bad, parse_bundle
from modelsync.errors import ConfigurationError, Rejected

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
    from cryptography.x509 import Certificate

INSTALL = "install modelsync[signing]"
_MAX_KEY_BYTES = 1 << 20
CURVES = frozenset({"secp256r1", "secp384r1", "secp521r1"})


@dataclass(frozen=True, slots=True)
class _Trusted:
    """Whom to trust. `keys`: fingerprint to PEM; `chains`: certificates in PEM, each file by itself."""

    keys: dict[str, bytes]
    chains: tuple[bytes, ...]

    def name(self) -> str:
        """Another one for other keys or chains."""
        found = {*self.keys, *(hashlib.sha256(chain).hexdigest() for chain in self.chains)}
        return hashlib.sha256("".join(sorted(found)).encode()).hexdigest()


class TrustedSigners:
    """Implements `ports.signing.SignatureVerifier` by public keys and certificates in files.

    The files are read for each signature: a key that is added or removed counts at once.
    """

    def __init__(self, places: tuple[Path, ...]) -> None:
        """Read keys and certificates once, to see that they can be used.

        Args:
            places: PEM files, and directories of such files.

        Raises:
            ConfigurationError: they cannot, or the library is not installed.
        """
        try:
            import model_signing.verifying  # noqa: F401 - here, so that its absence is told at start
        except ImportError as error:
            raise ConfigurationError(f"GATE_SIGNATURE needs a library that is not here: {INSTALL}") from error
        self._places = places
        self._name = self._trusted().name()

    def open(self, signature: bytes) -> Signed:
        """Verify a signature, and tell what it covers."""
        bundle = parse_bundle(signature)
        trusted = self._trusted()
        if bundle.certificates:
            return _by_certificate(bundle, trusted.chains)
        pem = trusted.keys.get(bundle.key)
        if pem is None:
            raise bad(f"it is made by key sha256:{bundle.key}, which is none of GATE_SIGNATURE_KEY")
        with in_memory(pem) as path:
            return _opened(
                bundle, f"sha256:{bundle.key}", lambda config: config.use_elliptic_key_verifier(public_key=path)
            )

    def signers(self) -> str:
        """A digest of keys and certificates."""
        with suppress(ConfigurationError):
            self._name = self._trusted().name()
        return self._name

    def _trusted(self) -> _Trusted:
        keys: dict[str, bytes] = {}
        chains = []
        for path in _files(self._places):
            content = _read(path)
            if b"-----BEGIN CERTIFICATE-----" in content:
                _certificates(path, content)
                chains.append(content)
            else:
                pem = pem_of(_public_key(path, content))
                keys[fingerprint(pem)] = pem
        if not (keys or chains):
            raise ConfigurationError(f"GATE_SIGNATURE_KEY: no file is in {', '.join(map(str, self._places))}")
        return _Trusted(keys, tuple(chains))


def _files(places: tuple[Path, ...]) -> Iterator[Path]:
    """The files, and those in the directories. Kubernetes mounts a Secret as links, beside names with a dot."""
    for place in places:
        try:
            yield from sorted(filter(_is_plain, place.iterdir())) if place.is_dir() else [place]
        except OSError as error:
            _unusable(place, f"cannot be read: {error.strerror}", error)


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_KEY_BYTES)
    except OSError as error:
        _unusable(path, f"cannot be read: {error.strerror}", error)


def _public_key(path: Path, content: bytes) -> PublicKeyTypes:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if b"PRIVATE KEY-----" in content:
        _unusable(path, "holds a private key: keep that to yourself, and give the worker the public one")
    try:
        key = load_pem_public_key(content)
    except Exception as error:  # noqa: BLE001 - whatever it is, the file is of no use
        _unusable(path, "holds neither a public key nor certificates in PEM", error)
    if curve_of(key) not in CURVES:
        _unusable(path, "holds a key that is not on the curve P-256, P-384 or P-521")
    return key


def _certificates(path: Path, content: bytes) -> None:
    from cryptography.x509 import load_pem_x509_certificates

    try:
        load_pem_x509_certificates(content)
    except ValueError as error:
        _unusable(path, "holds a certificate that cannot be read", error)


def _unusable(path: Path, why: str, cause: Exception | None = None) -> NoReturn:
    raise ConfigurationError(f"GATE_SIGNATURE_KEY: {path} {why}") from cause


def curve_of(key: Any) -> str:
    """The name of a key's curve; empty where it is on none."""
    return str(getattr(getattr(key, "curve", None), "name", ""))


def pem_of(key: PublicKeyTypes) -> bytes:
    """A public key as `openssl` writes it."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def fingerprint(pem: bytes) -> str:
    """What signatures call a public key: the SHA-256 of its file, in hex."""
    return hashlib.sha256(pem).hexdigest()


@contextmanager
def in_memory(content: bytes) -> Iterator[str]:
    """A file that is on no disk; yields its path, good for this process."""
    descriptor = os.memfd_create("modelsync")
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _by_certificate(bundle: Bundle, chains: tuple[bytes, ...]) -> Signed:
    """Verify by one chain after the other.

    The library asks whether a chain was valid when the signing certificate began to be: it knows no time of signing.
    Nobody vouches for one here either: a chain must be valid now.
    """
    refused = bad("it is made with a certificate, and GATE_SIGNATURE_KEY names none")
    for chain in chains:
        try:
            signer = _valid_now(bundle, chain)
            with in_memory(chain) as path:
                return _opened(bundle, signer, lambda config: config.use_certificate_verifier(certificate_chain=[path]))
        except Rejected as error:
            refused = error
    raise refused


def _valid_now(bundle: Bundle, trusted: bytes) -> str:
    """Return the subject of the signing certificate, if its chain is valid now."""
    from cryptography.x509 import load_der_x509_certificate, load_pem_x509_certificates
    from OpenSSL import crypto

    try:
        found = [load_der_x509_certificate(base64.b64decode(each, validate=True)) for each in bundle.certificates]
        store = crypto.X509Store()
        for certificate in load_pem_x509_certificates(trusted):
            store.add_cert(crypto.X509.from_cryptography(certificate))
        leaf, *others = map(crypto.X509.from_cryptography, found)
        crypto.X509StoreContext(store, leaf, others).verify_certificate()
        return _subject(found[0])
    except Exception as error:
        raise bad(f"its certificate is not to be trusted: {_brief(error)}") from error


def _subject(certificate: Certificate) -> str:
    text = certificate.subject.rfc4514_string()
    if not text or not text.isprintable():
        raise ValueError("its subject names nobody")
    return text[:200]


def _opened(bundle: Bundle, signer: str, trust: Any) -> Signed:
    """Have the library verify a bundle. `trust`: tells it by what."""
    from model_signing import verifying

    config: Any = verifying.Config()  # type: ignore[no-untyped-call]
    statement = _Statement(signer)
    try:
        with in_memory(bundle.render()) as path:
            trust(config).set_hashing_config(statement).verify(path, path)
    except Exception as error:
        raise bad(f"it does not hold: {_brief(error)}") from error
    if statement.signed is None:
        raise bad("the library did not tell what is signed")
    return statement.signed


class _Statement:
    """Stands where the library hashes a directory, and takes what it would hold the hashes against.

    That is handed out only after the signature was verified. To compare it with what is published is for the core,
    which knows the hashes, and which files are published.
    """

    def __init__(self, signer: str) -> None:
        self._signer = signer
        self.signed: Signed | None = None

    def add_ignored_paths(self, *, model_path: object, paths: object) -> None:
        """Ignore nothing, whatever the signature says: every file that is published must be signed."""

    def hash(self, _model_path: object, *, files_to_hash: object = None) -> _Statement:  # noqa: ARG002 - the library's name
        """Take its own place in the comparison."""
        return self

    def __eq__(self, other: object) -> bool:
        """Take the manifest that was signed."""
        manifest: Any = other
        self.signed = Signed(
            self._signer,
            str(manifest.model_name),
            str(manifest.serialization_type["method"]),
            tuple(
                SignedFile(entry.identifier, entry.digest.algorithm, entry.digest.digest_hex)
                for entry in manifest.resource_descriptors()
            ),
        )
        return True

    __hash__ = None  # type: ignore[assignment]


def _brief(error: Exception) -> str:
    """What a library says, on one line; some say nothing."""
    text = " ".join(str(error).split())[:200]
    return text if text and text.isprintable() else f"its content was changed ({type(error).__name__})"

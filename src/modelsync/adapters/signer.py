"""Signing by a private key in a file, for `modelsync push --sign`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelsync.adapters.signature import CURVES, INSTALL, curve_of, fingerprint, in_memory, pem_of
from modelsync.core.names import ModelId, RelPath
from modelsync.core.signature import subject_of
from modelsync.errors import ConfigurationError


class KeySigner:
    """Implements `ports.signing.Signer` by an elliptic-curve key. It is held in memory, and nowhere else."""

    def __init__(self, path: Path, password: str | None) -> None:
        """Read the key.

        Args:
            path: a PEM file.
            password: of the key, if it is encrypted.

        Raises:
            ConfigurationError: it cannot be used, or the library is not installed.
        """
        try:
            import model_signing.signing  # noqa: F401 - here, so that its absence is told before anything is uploaded
            from cryptography.hazmat.primitives import serialization
        except ImportError as error:
            raise ConfigurationError(f"--sign needs a library that is not here: {INSTALL}") from error
        try:
            key: Any = serialization.load_pem_private_key(path.read_bytes(), password.encode() if password else None)
        except OSError as error:
            raise ConfigurationError(f"--sign: {path} cannot be read: {error.strerror}") from error
        except TypeError as error:
            raise ConfigurationError(f"--sign: {path}: {_PASSWORD[password is None]}") from error
        except Exception as error:
            raise ConfigurationError(f"--sign: {path} holds no private key in PEM, or the password is wrong") from error
        if curve_of(key) not in CURVES:
            raise ConfigurationError(f"--sign: {path} holds a key that is not on the curve P-256, P-384 or P-521")
        self._name = f"sha256:{fingerprint(pem_of(key.public_key()))}"
        self._pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def name(self) -> str:
        """The public key's fingerprint."""
        return self._name

    def sign(self, model: ModelId, files: Mapping[RelPath, str]) -> bytes:
        """Sign files by their SHA-256."""
        from model_signing import signing

        config: Any = signing.Config()  # type: ignore[no-untyped-call]
        with in_memory(self._pem) as key, in_memory(b"") as signature:
            config.use_elliptic_key_signer(private_key=key).set_hashing_config(_Hashes(files))
            config.sign(subject_of(model), signature)
            return Path(signature).read_bytes()


_PASSWORD = {
    True: "the key is encrypted: put its password into SIGN_KEY_PASSWORD or SIGN_KEY_PASSWORD_FILE",
    False: "the key is not encrypted, and yet SIGN_KEY_PASSWORD or SIGN_KEY_PASSWORD_FILE is set",
}


@dataclass(frozen=True)
class _Hashes:
    """Stands where the library hashes a directory: the hashes are known."""

    files: Mapping[RelPath, str]

    def hash(self, subject: str) -> Any:
        """The library's manifest of them."""
        from model_signing import manifest
        from model_signing._hashing.hashing import Digest  # the library makes it nowhere else

        kind = manifest.SerializationType.from_args({"method": "files", "hash_type": "sha256", "allow_symlinks": False})
        items = [kind.new_item(path, Digest("sha256", bytes.fromhex(sha256))) for path, sha256 in self.files.items()]
        return manifest.Manifest(subject, items, kind)

"""Who signs models, and who says whose signature it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from modelsync.core.names import ModelId, RelPath
from modelsync.core.signature import Signed


class SignatureVerifier(Protocol):
    """Knows whom to trust. Called by any thread."""

    def open(self, signature: bytes) -> Signed:
        """Verify a signature, at most `signature.MAX_BYTES` long, and tell what it covers.

        Raises:
            Rejected: rule `signature`; it is none, or of nobody who is trusted.
            ConfigurationError: those who are trusted cannot be read.
        """
        ...

    def signers(self) -> str:
        """A name for those who are trusted now: another one once they are others.

        Never raises: while they cannot be read it is the name from before.
        """
        ...


class Signer(Protocol):
    """Signs as one person or machine."""

    @property
    def name(self) -> str:
        """Who, as `Signed.signer` has it."""
        ...

    def sign(self, model: ModelId, files: Mapping[RelPath, str]) -> bytes:
        """Sign files by their SHA-256 in hex, for this model alone; return the signature."""
        ...

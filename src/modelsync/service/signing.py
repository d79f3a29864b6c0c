"""Who may sign what the worker publishes, and as whom a push signs, put together as the settings say."""

from __future__ import annotations

from pathlib import Path

from modelsync.app.signatures import Signatures
from modelsync.config import Settings, options
from modelsync.errors import ConfigurationError
from modelsync.ports import ObjectStore, Volume
from modelsync.ports.signing import Signer


def signatures(settings: Settings, store: ObjectStore, volume: Volume) -> Signatures | None:
    """What judges signatures, if anything is to.

    Raises:
        ConfigurationError: keys or certificates cannot be used, or a library is missing.
    """
    if settings.gate_signature == "off":
        return None
    from modelsync.adapters.signature import TrustedSigners

    verifier = TrustedSigners(settings.gate_signature_key)
    return Signatures(store, volume, verifier, options.naming(settings), require=settings.gate_signature == "require")


def signer(settings: Settings, key: Path) -> Signer:
    """Whoever has the key.

    Raises:
        ConfigurationError: it cannot be used, or a library is missing.
    """
    from modelsync.adapters.signer import KeySigner

    return KeySigner(key, _password(settings))


def _password(settings: Settings) -> str | None:
    if settings.sign_key_password is not None:
        return settings.sign_key_password.get_secret_value()
    path = settings.sign_key_password_file
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"SIGN_KEY_PASSWORD_FILE: {path} cannot be read") from error

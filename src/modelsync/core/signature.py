"""Who signed a model, and whether what they signed is what is to be published.

A signature is a Sigstore bundle around a DSSE envelope around a list of files with their digests, as OpenSSF Model
Signing 1.0 has it. What is parsed here is written anew for the library that verifies it, so that both read the same.
Source: https://github.com/ossf/model-signing-spec
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from modelsync.core.manifest import Current
from modelsync.core.names import ModelId, Naming, RelPath
from modelsync.core.words import some
from modelsync.errors import Rejected

RULE = "signature"
"""Refuses what nobody signed who is trusted."""

MAX_BYTES = 4 << 20
"""A larger signature is refused unread."""

_MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_MAX_CERTIFICATES = 8
_MAX_PARTS = 1000  # lists, objects and entries: a signature has some dozens
_OURS = "modelsync:"
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")


@dataclass(frozen=True, slots=True)
class Bundle:
    """A signature whose parts are well-formed; nothing of it is verified. Texts are base64.

    Attributes:
        payload: what is signed.
        signature: of the payload.
        key: SHA-256 of the public key's PEM file, in hex; empty where a certificate signed.
        certificates: in DER, the signing one first; empty where a key signed.
    """

    payload: str
    signature: str
    key: str = ""
    certificates: tuple[str, ...] = ()

    def render(self) -> bytes:
        """The bundle as JSON, with nothing else in it."""
        chain = {"x509CertificateChain": {"certificates": [{"rawBytes": each} for each in self.certificates]}}
        material = chain if self.certificates else {"publicKey": {"hint": self.key}}
        envelope = {
            "payload": self.payload,
            "payloadType": _PAYLOAD_TYPE,
            "signatures": [{"sig": self.signature, "keyid": ""}],
        }
        document = {
            "mediaType": _MEDIA_TYPE,
            "verificationMaterial": {**material, "tlogEntries": []},
            "dsseEnvelope": envelope,
        }
        return json.dumps(document).encode()


def parse_bundle(data: bytes) -> Bundle:
    """Read a signature.

    Raises:
        Rejected: rule `signature`; it is malformed, or of a kind that cannot be verified offline.
    """
    if sum(map(data.count, (b"[", b"{", b","))) > _MAX_PARTS:
        # Before it is parsed: small parts would take many times their length of memory.
        raise bad("it has more parts than any signature")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise bad(f"it is no JSON: {error}") from error
    if _at(document, "mediaType") != _MEDIA_TYPE:
        raise bad("it is no Sigstore bundle of version 0.3")
    envelope = _at(document, "dsseEnvelope")
    if _at(envelope, "payloadType") != _PAYLOAD_TYPE:
        raise bad("it signs no in-toto statement")
    payload, signatures = _text(_at(envelope, "payload")), _list(_at(envelope, "signatures"), 1)
    signature = _text(_at(signatures[0], "sig"))
    material = _at(document, "verificationMaterial")
    if (chain := _at(material, "x509CertificateChain")) is not None:
        found = _list(_at(chain, "certificates"), _MAX_CERTIFICATES)
        return Bundle(payload, signature, certificates=tuple(_text(_at(each, "rawBytes")) for each in found))
    if (key := _at(material, "publicKey")) is None:
        raise bad("neither an elliptic-curve key nor a chain of certificates made it")
    hint = _at(key, "hint")
    if not isinstance(hint, str) or not _FINGERPRINT.fullmatch(hint):
        raise bad("it does not name its key: an old tool made it, sign the model again")
    return Bundle(payload, signature, key=hint)


def _at(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _list(value: Any, most: int) -> list[Any]:
    if not isinstance(value, list) or not 1 <= len(value) <= most:
        raise bad(f"a list in it has not 1 to {most} entries")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not _BASE64.fullmatch(value):
        raise bad("a part of it is missing, or no base64")
    return value


@dataclass(frozen=True, slots=True)
class SignedFile:
    """One entry of what was signed, as the signer wrote it. `digest`: in hex."""

    path: str
    algorithm: str
    digest: str


@dataclass(frozen=True, slots=True)
class Signed:
    """What is proven to be signed by somebody who is trusted.

    Attributes:
        signer: `sha256:` and the fingerprint of the key's PEM file, or the subject of the certificate.
        subject: what the signer called it: see `subject_of`.
        method: how files became entries: `files` where each is one.
        files: the entries.
    """

    signer: str
    subject: str
    method: str
    files: tuple[SignedFile, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a revision's signature: `signer` who signed it, or `unsigned` why nobody did who counts.

    `signers` names those who could sign it then, and whether somebody had to.
    """

    signers: str
    signer: str | None = None
    unsigned: str | None = None


def judged(current: Current, verdict: Verdict | None) -> Current:
    """The record of what readers see, with a verdict on it; None: as it is."""
    if verdict is None:
        return current
    return replace(current, signer=verdict.signer, unsigned=verdict.unsigned, signers=verdict.signers)


def subject_of(model: ModelId) -> str:
    """What a push calls a model that it signs: such a signature holds for that model alone.

    Other tools write the name of a directory, of which the standard says that it means nothing.
    """
    return f"{_OURS}{model}"


def misfit(signed: Signed, model: ModelId, published: Mapping[RelPath, str], naming: Naming) -> str | None:
    """Return why a signature does not cover a revision, or None if it does.

    Every file must be signed as it is. Files that are signed but never published, a README for one, are passed over;
    others must be there.

    Args:
        signed: the signature's content.
        model: the revision's.
        published: the revision's files, with the SHA-256 of each in hex.
        naming: which files are published.
    """
    if signed.subject.startswith(_OURS) and signed.subject != subject_of(model):
        return f"it was made for the model {signed.subject.removeprefix(_OURS)[:200]!r}"
    if signed.method != "files" or any(entry.algorithm != "sha256" for entry in signed.files):
        return "it does not have the SHA-256 of each file: sign the model again, with the tool's own defaults"
    entries = {entry.path: entry.digest for entry in signed.files}
    if unsigned := [path for path in published if path not in entries]:
        return f"it does not cover {some(unsigned)}"
    if other := [path for path, sha256 in published.items() if entries[path] != sha256]:
        return f"other bytes of {some(other)} were signed"
    ours = (path for path in entries if naming.is_known(path) and path not in naming.control_files)
    if missing := [RelPath(path) for path in ours if RelPath(path) not in published]:
        return f"it was made with {some(missing)}, which the model has not"
    return None


def bad(what: str) -> Rejected:
    """A signature that cannot be used, and why."""
    return Rejected(RULE, f"the signature cannot be used: {what[:300]}")

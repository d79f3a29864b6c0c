"""A signature is hostile input; what it covers is held against what is to be published."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelsync.core.names import ModelId, Naming, RelPath
from modelsync.core.signature import Bundle, Signed, SignedFile, misfit, parse_bundle, subject_of
from modelsync.errors import Rejected

KEY = "ab" * 32
ONE, TWO = "1" * 64, "2" * 64
BY_KEY = Bundle("cGF5bG9hZA==", "c2ln", key=KEY)
BY_CERTIFICATE = Bundle("cGF5bG9hZA==", "c2ln", certificates=("bGVhZg==", "Q0E="))


def altered(bundle: Bundle, *path: str | int, to: object) -> bytes:
    """The bundle's JSON with one value put in place of another."""
    document: Any = json.loads(bundle.render())
    *above, last = path
    place = document
    for step in above:
        place = place[step]
    place[last] = to
    return json.dumps(document).encode()


@pytest.mark.parametrize("bundle", [BY_KEY, BY_CERTIFICATE])
def test_a_signature_is_read_as_it_was_written(bundle: Bundle) -> None:
    assert parse_bundle(bundle.render()) == bundle


def test_what_else_a_signature_says_does_not_reach_the_library() -> None:
    data = altered(BY_KEY, "dsse_envelope", to={"payload": "ZXZpbA=="})
    assert parse_bundle(data).render() == BY_KEY.render()


MATERIAL = ("verificationMaterial",)
CHAIN = (*MATERIAL, "x509CertificateChain", "certificates")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xff", "no JSON"),
        (b"[" * 1_001, "more parts than any signature"),
        (b"[" * 999, "no JSON"),
        (b"[{}" + b",{}" * 1_000 + b"]", "more parts than any signature"),
        (b"[]", "no Sigstore bundle"),
        (b"{}", "no Sigstore bundle"),
        (altered(BY_KEY, "mediaType", to="application/json"), "no Sigstore bundle"),
        (altered(BY_KEY, "dsseEnvelope", to=None), "no in-toto statement"),
        (altered(BY_KEY, "dsseEnvelope", "payloadType", to="text/plain"), "no in-toto statement"),
        (altered(BY_KEY, "dsseEnvelope", "payload", to=3), "no base64"),
        (altered(BY_KEY, "dsseEnvelope", "payload", to="\ud800"), "no base64"),
        (altered(BY_KEY, "dsseEnvelope", "signatures", to=[]), "not 1 to 1 entries"),
        (altered(BY_KEY, "dsseEnvelope", "signatures", to=[{}, {}]), "not 1 to 1 entries"),
        (altered(BY_KEY, "dsseEnvelope", "signatures", to=["c2ln"]), "missing"),
        (altered(BY_KEY, "verificationMaterial", to={"certificate": {"rawBytes": "bGVhZg=="}}), "neither"),
        (altered(BY_KEY, *MATERIAL, "publicKey", to={"hint": None}), "does not name its key"),
        (altered(BY_KEY, *MATERIAL, "publicKey", to={"hint": "../key"}), "does not name its key"),
        (altered(BY_CERTIFICATE, *CHAIN, to="bGVhZg=="), "not 1 to 8 entries"),
        (altered(BY_CERTIFICATE, *CHAIN, to=[{"rawBytes": "bGVhZg=="}] * 9), "not 1 to 8 entries"),
        (altered(BY_CERTIFICATE, *CHAIN, 0, to={"rawBytes": "not base64!"}), "no base64"),
    ],
)
def test_a_bad_signature_is_rejected_with_a_reason(data: bytes, why: str) -> None:
    with pytest.raises(Rejected, match=why) as caught:
        parse_bundle(data)
    assert caught.value.rule == "signature"
    assert len(caught.value.reason) < 400


def signed(*files: tuple[str, str], subject: str = "voice", method: str = "files", algorithm: str = "sha256") -> Signed:
    return Signed("sha256:ab", subject, method, tuple(SignedFile(path, algorithm, digest) for path, digest in files))


ALICE = ModelId("de/alice")
MODEL = {RelPath("m.onnx"): ONE, RelPath("de/c.json"): TWO}
ALL = (("m.onnx", ONE), ("de/c.json", TWO))


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (signed(*ALL), None),
        (signed(*ALL, ("README.md", ONE), (".gitattributes", TWO)), None),
        (signed(*ALL, ("model.sig", ONE), ("modelsync.json", TWO)), None),
        (signed(*ALL, subject=subject_of(ALICE)), None),
        (signed(*ALL, subject="modelsync:alice"), "it was made for the model 'alice'"),
        (signed(*ALL[:1]), "it does not cover de/c.json"),
        (signed(("m.onnx", ONE), ("./de/c.json", TWO)), "it does not cover de/c.json"),
        (signed(), "it does not cover de/c.json, m.onnx"),
        (signed(("m.onnx", TWO), ("de/c.json", TWO)), "other bytes of m.onnx were signed"),
        (signed(*ALL, ("lost.json", ONE)), "it was made with lost.json, which the model has not"),
        (signed(*ALL, method="shards"), "it does not have the SHA-256 of each file"),
        (signed(*ALL, algorithm="blake3"), "it does not have the SHA-256 of each file"),
    ],
)
def test_a_signature_must_cover_every_file_as_it_is(found: Signed, why: str | None) -> None:
    reason = misfit(found, ALICE, MODEL, Naming())
    assert reason == why or (reason is not None and why is not None and reason.startswith(why))

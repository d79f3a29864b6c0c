"""Models that somebody signed, or nobody, from the bucket to their readers: with real keys and the real library."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import PublicFormat

from fakes.gate import FakeGate
from fakes.uploads import FakeUploads
from modelsync.adapters.folder import LocalFolder
from modelsync.adapters.signature import TrustedSigners
from modelsync.adapters.signer import KeySigner
from modelsync.app.models import Models
from modelsync.app.push import Push, PushOptions
from modelsync.core.facts import Outcome, Published, SignatureJudged
from modelsync.core.health import Status
from modelsync.core.manifest import Current, Manifest
from modelsync.core.names import ModelId, RelPath
from modelsync.core.notices import notice_of
from modelsync.core.signature import MAX_BYTES
from modelsync.core.status import ModelView
from modelsync.errors import ConfigurationError, Rejected
from support.signers import PEM, Authority, KeyPair, make_key, private_pem, sign_with_the_tool, write
from support.world import World

ALICE = ModelId("alice")
V1 = {"model.onnx": b"weights 1", "config.json": b"{}", "de/vocab.txt": b"abc"}
V2 = V1 | {"model.onnx": b"weights 2"}


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Where people keep keys, and the worker's directory of those that count, `trusted`."""
    (tmp_path / "keys" / "trusted").mkdir(parents=True)
    return tmp_path / "keys"


@pytest.fixture
def ann(keys: Path) -> KeyPair:
    """Somebody whose key counts."""
    made = make_key(keys, "ann")
    trust(keys, made)
    return made


MakeWorld = Callable[..., World]


@pytest.fixture
def make_world(tmp_path: Path, keys: Path) -> Iterator[MakeWorld]:
    made: list[World] = []

    def make(*, require: bool = True, **more: object) -> World:
        base = tmp_path / "volume"
        base.mkdir(exist_ok=True)
        trusted = TrustedSigners((keys / "trusted",))
        made.append(World(base, trusted=trusted, require=require, **more))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for world in made:
        world.fetcher.close()


@pytest.fixture
def world(make_world: MakeWorld, ann: KeyPair) -> World:
    return make_world()


def trust(keys: Path, key: KeyPair) -> None:
    (keys / "trusted" / key.public.name).write_bytes(key.public.read_bytes())


def vouch(keys: Path, authority: Authority) -> None:
    (keys / "trusted" / authority.certificate.name).write_bytes(authority.certificate.read_bytes())


def fingerprint(key: KeyPair) -> str:
    return f"sha256:{hashlib.sha256(key.public.read_bytes()).hexdigest()}"


def signature_of(key: KeyPair, files: dict[str, bytes], model: ModelId = ALICE) -> bytes:
    hashes = {RelPath(path): hashlib.sha256(content).hexdigest() for path, content in files.items()}
    return KeySigner(key.private, None).sign(model, hashes)


def push(world: World, files: dict[str, bytes], signature: bytes | None) -> None:
    """What `modelsync push --sign` uploads."""
    world.upload("alice", files)
    if signature is not None:
        world.bucket.put("alice/model.sig", signature)
    world.commit("alice", files)


def view(world: World) -> ModelView:
    found = Models(world.volume, world.board.models).one("alice")
    assert found is not None
    return found


def refusal(world: World) -> str:
    """Why the model is refused, for its signature, with nothing left behind."""
    result = world.sync("alice")
    assert result.outcome is Outcome.REJECTED
    assert {record.rule for record in world.volume.published(ALICE).quarantined} == {"signature"}
    assert result.reason.isprintable()
    return result.reason


def test_a_signed_model_is_published_and_its_signer_told(world: World, ann: KeyPair) -> None:
    push(world, V1, signature_of(ann, V1))
    result = world.sync("alice")
    assert (result.outcome, world.read("alice")) == (Outcome.SUCCESS, V1)
    assert result.revision is not None
    manifest = world.volume.manifest(ALICE, result.revision)
    assert manifest is not None
    assert manifest.signer == view(world).signer == fingerprint(ann)
    assert (view(world).unsigned, "signatures" in world.board.checks()) == (None, False)
    [told] = world.told(Published)
    notice = notice_of(told, 0.0)
    assert notice is not None
    assert notice.signer == fingerprint(ann)


def test_what_the_tool_signed_is_published_whatever_else_it_signed(world: World, ann: KeyPair, keys: Path) -> None:
    directory = write(keys / "voice", V1 | {"README.md": b"signed, never published"})
    push(world, V1, sign_with_the_tool(directory, ann, keys / "model.sig"))
    assert world.sync("alice").outcome is Outcome.SUCCESS


def test_what_a_push_signs_holds_for_the_tool(ann: KeyPair, keys: Path) -> None:
    from model_signing import verifying

    directory, signature = write(keys / "voice", V1), keys / "model.sig"
    signature.write_bytes(signature_of(ann, V1))
    tool = verifying.Config().use_elliptic_key_verifier(public_key=ann.public)
    tool.verify(directory, signature)
    write(directory, V2)
    with pytest.raises(ValueError, match=r"model\.onnx"):
        tool.verify(directory, signature)


def test_what_nobody_signed_is_refused(world: World) -> None:
    push(world, V1, None)
    assert refusal(world) == "it is not signed: model.sig is not there"
    assert world.volume.linked(ALICE) is None


def test_a_refused_model_is_published_once_it_is_signed(world: World, ann: KeyPair) -> None:
    push(world, V1, None)
    refusal(world)
    world.bucket.put("alice/model.sig", signature_of(ann, V1))
    assert world.compare()[0] == [ALICE]
    assert world.sync("alice").outcome is Outcome.SUCCESS


def test_a_warning_is_told_everywhere_and_taken_back(make_world: MakeWorld, ann: KeyPair) -> None:
    world = make_world(require=False)
    push(world, V1, None)
    assert world.sync("alice").outcome is Outcome.SUCCESS
    why = "it is not signed: model.sig is not there"
    assert (view(world).signer, view(world).unsigned) == (None, why)
    check = world.board.checks()["signatures"]
    assert (check.status, check.reason) == (Status.HEALTHY, f"warning: published unsigned: alice: {why}")
    after = make_world(require=False, store=world.bucket)
    after.compare()
    assert after.board.checks()["signatures"].reason == check.reason, "a restart knows it too"
    after.bucket.put("alice/model.sig", signature_of(ann, V1))
    assert after.compare()[0] == [ALICE]
    assert after.sync("alice").outcome is Outcome.NOOP
    assert (view(after).signer, view(after).unsigned) == (fingerprint(ann), None)
    assert after.board.checks()["signatures"].reason == "every model that was judged is signed"


def test_a_tampered_file_is_refused_though_the_commit_file_lists_it(world: World, ann: KeyPair) -> None:
    push(world, V1, signature_of(ann, V1))
    world.sync("alice")
    push(world, V2, None)
    assert refusal(world).endswith("does not fit: other bytes of model.onnx were signed")
    assert world.read("alice") == V1, "readers keep what was signed"


@pytest.mark.parametrize("path", ["extra.json", ".git/config.json"])
def test_a_file_that_nobody_signed_is_refused(world: World, ann: KeyPair, keys: Path, path: str) -> None:
    """Also below `.git`, which the tool passes over, and which its signatures say to pass over."""
    signature = sign_with_the_tool(write(keys / "voice", V1), ann, keys / "model.sig")
    push(world, V1 | {path: b"{}"}, signature)
    assert refusal(world).endswith(f"does not fit: it does not cover {path}")


def test_a_file_that_was_signed_must_be_there(world: World, ann: KeyPair) -> None:
    push(world, {"model.onnx": V1["model.onnx"]}, signature_of(ann, V1))
    assert refusal(world).endswith("it was made with config.json, de/vocab.txt, which the model has not")


def test_what_a_push_signed_as_another_model_is_refused(world: World, ann: KeyPair) -> None:
    push(world, V1, signature_of(ann, V1, ModelId("bob")))
    assert refusal(world).endswith("does not fit: it was made for the model 'bob'")


def test_what_the_tool_signed_names_no_model(world: World, ann: KeyPair, keys: Path) -> None:
    """It writes the name of the directory, of which the standard says that it must not count."""
    push(world, V1, sign_with_the_tool(write(keys / "bob", V1), ann, keys / "model.sig"))
    assert world.sync("alice").outcome is Outcome.SUCCESS


def test_an_older_version_with_its_own_signature_is_published(world: World, ann: KeyPair) -> None:
    """A signature tells no time: docs/signing.md says so, and what tells who did it."""
    for files in (V1, V2, V1):
        push(world, files, signature_of(ann, files))
        assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == V1


def test_a_signature_may_come_after_everything_else(world: World, ann: KeyPair) -> None:
    world.upload("alice", V1)
    refusal(world)
    world.bucket.put("alice/model.sig", signature_of(ann, V1))
    assert world.sync("alice").outcome is Outcome.SUCCESS, "without a commit file too"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"[" * 5_000, b"{}", b"null", b'{"a":' * 900])
def test_a_hostile_signature_is_refused_in_a_sentence(world: World, content: bytes) -> None:
    push(world, V1, content)
    assert refusal(world).startswith("the signature cannot be used: ")


def test_a_payload_that_was_changed_does_not_hold(world: World, ann: KeyPair) -> None:
    document = json.loads(signature_of(ann, V2))
    payload = base64.b64decode(document["dsseEnvelope"]["payload"])
    other, own = (hashlib.sha256(files["model.onnx"]).hexdigest().encode() for files in (V2, V1))
    document["dsseEnvelope"]["payload"] = base64.b64encode(payload.replace(other, own)).decode()
    push(world, V1, json.dumps(document).encode())
    assert "it does not hold: its content was changed" in refusal(world)


def test_without_a_commit_file_the_bytes_are_read(world: World, ann: KeyPair) -> None:
    world.upload("alice", V1)
    world.bucket.put("alice/model.sig", signature_of(ann, V1))
    assert world.sync("alice").outcome is Outcome.SUCCESS
    world.upload("alice", V2)
    assert refusal(world).endswith("other bytes of model.onnx were signed")


def test_an_object_alone_cannot_be_signed(world: World) -> None:
    world.bucket.put("solo.onnx", b"weights")
    result = world.sync("solo.onnx")
    assert (result.outcome, result.reason[:33]) == (Outcome.REJECTED, "an object alone cannot be signed:")


def test_keys_are_rotated_without_a_restart(world: World, ann: KeyPair, keys: Path) -> None:
    bob = make_key(keys, "bob")
    push(world, V1, signature_of(bob, V1))
    assert f"it is made by key {fingerprint(bob)}, which is none of GATE_SIGNATURE_KEY" in refusal(world)
    assert world.compare()[0] == []
    trust(keys, bob)
    assert world.compare()[0] == [ALICE], "what was refused is looked at again"
    assert world.sync("alice").outcome is Outcome.SUCCESS
    (keys / "trusted" / ann.public.name).unlink()
    push(world, V2, signature_of(ann, V2))
    assert "which is none of GATE_SIGNATURE_KEY" in refusal(world)
    assert (world.read("alice"), view(world).signer) == (V1, fingerprint(bob))


def test_what_a_removed_key_signed_is_told_and_taken_from_nobody(world: World, ann: KeyPair, keys: Path) -> None:
    push(world, V1, signature_of(ann, V1))
    world.sync("alice")
    trust(keys, make_key(keys, "bob"))
    (keys / "trusted" / ann.public.name).unlink()
    assert world.compare()[0] == [ALICE]
    assert world.sync("alice").outcome is Outcome.NOOP
    assert world.read("alice") == V1
    unsigned = (
        f"the signature cannot be used: it is made by key {fingerprint(ann)}, which is none of GATE_SIGNATURE_KEY"
    )
    assert (view(world).signer, view(world).unsigned) == (None, unsigned)
    assert unsigned in world.board.checks()["signatures"].reason
    assert world.compare()[0] == [], "it is told once"


def test_while_no_key_can_be_read_nothing_is_judged(world: World, ann: KeyPair, keys: Path) -> None:
    push(world, V1, signature_of(ann, V1))
    world.sync("alice")
    (keys / "trusted" / ann.public.name).rename(keys / "away")
    assert world.compare()[0] == [], "what was published stays as it was judged"
    push(world, V2, signature_of(ann, V2))
    result = world.sync("alice")
    assert (result.outcome, result.reason) == (
        Outcome.ERROR,
        f"GATE_SIGNATURE_KEY: no file is in {keys / 'trusted'}",
    )
    (keys / "away").rename(keys / "trusted" / ann.public.name)
    assert world.sync("alice").outcome is Outcome.SUCCESS


@pytest.mark.parametrize("require", [True, False])
def test_what_was_published_before_is_judged_once_signatures_are_asked_for(
    make_world: MakeWorld, ann: KeyPair, tmp_path: Path, *, require: bool
) -> None:
    (tmp_path / "volume").mkdir()
    before = World(tmp_path / "volume")
    push(before, V1, None)
    before.upload("bob", V2)
    before.bucket.put("bob/model.sig", signature_of(ann, V2, ModelId("bob")))
    for model in ("alice", "bob"):
        assert before.sync(model).outcome is Outcome.SUCCESS
    before.fetcher.close()
    after = make_world(require=require, store=before.bucket)
    assert after.compare()[0] == ["alice", "bob"]
    for model in ("alice", "bob"):
        assert after.sync(model).outcome is Outcome.NOOP
    found = {each.id: each for each in Models(after.volume, after.board.models).page(10, "").models}
    assert found["alice"].unsigned == "it is not signed: model.sig is not there"
    assert (found["bob"].signer, found["bob"].unsigned) == (fingerprint(ann), None)
    assert after.read("alice") == V1
    assert after.compare()[0] == []
    again = World(tmp_path / "volume", store=before.bucket)
    assert again.compare()[0] == []
    assert "signatures" not in again.board.checks(), "nobody asks any more"
    again.fetcher.close()


def test_a_pin_is_a_persons_word(world: World, ann: KeyPair, keys: Path) -> None:
    for files in (V1, V2):
        push(world, files, signature_of(ann, files))
        world.sync("alice")
    world.rollback("alice")
    trust(keys, make_key(keys, "bob"))
    (keys / "trusted" / ann.public.name).unlink()
    (world.base / "alice").unlink()
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert world.read("alice") == V1, "it is led back to, whoever may sign now"


def test_a_crash_before_the_record_is_written_loses_no_signer(world: World, ann: KeyPair) -> None:
    push(world, V1, signature_of(ann, V1))
    world.sync("alice")
    (world.home("alice") / "current.json").unlink()
    assert world.sync("alice").outcome is Outcome.NOOP
    assert view(world).signer == fingerprint(ann)


def test_what_was_refused_is_published_once_a_warning_is_enough(make_world: MakeWorld, ann: KeyPair) -> None:
    strict = make_world()
    push(strict, V1, None)
    refusal(strict)
    lenient = make_world(require=False, store=strict.bucket)
    assert lenient.compare()[0] == [ALICE]
    assert lenient.sync("alice").outcome is Outcome.SUCCESS


def test_a_signature_that_names_another_key_than_made_it_does_not_hold(world: World, ann: KeyPair, keys: Path) -> None:
    forged = signature_of(make_key(keys, "eve"), V1).replace(
        fingerprint(KeyPair(keys / "eve.key", keys / "eve.pub"))[7:].encode(), fingerprint(ann)[7:].encode()
    )
    push(world, V1, forged)
    assert "it does not hold" in refusal(world)


def test_a_new_signature_is_noticed_and_makes_no_new_revision(world: World, ann: KeyPair, keys: Path) -> None:
    push(world, V1, signature_of(ann, V1))
    first = world.sync("alice")
    bob = make_key(keys, "bob")
    trust(keys, bob)
    world.bucket.put("alice/model.sig", signature_of(bob, V1))
    assert world.compare()[0] == [ALICE]
    again = world.sync("alice")
    assert (again.outcome, again.revision) == (Outcome.NOOP, first.revision)
    assert view(world).signer == fingerprint(bob)
    assert [fact.signer for fact in world.told(SignatureJudged)] == [fingerprint(ann), fingerprint(bob)]
    assert world.compare()[0] == []


def test_a_signature_of_something_else_takes_nothing_from_readers(world: World, ann: KeyPair) -> None:
    push(world, V1, signature_of(ann, V1))
    world.sync("alice")
    world.bucket.put("alice/model.sig", signature_of(ann, V2))
    assert world.sync("alice").outcome is Outcome.NOOP
    assert (world.read("alice"), view(world).signer) == (V1, fingerprint(ann))
    assert world.compare()[0] == []
    world.bucket.remove("alice/model.sig")
    assert world.sync("alice").outcome is Outcome.NOOP
    assert (world.read("alice"), view(world).signer) == (V1, fingerprint(ann)), "nor does one that was removed"


def test_a_revision_from_before_signatures_were_required_is_judged_before_it_comes_back(
    world: World, ann: KeyPair, tmp_path: Path
) -> None:
    before = World(tmp_path / "volume", store=world.bucket)
    for files in (V1, V2):
        push(before, files, None)
        before.sync("alice")
    before.fetcher.close()
    push(world, V1, None)
    assert refusal(world) == "it is not signed: model.sig is not there"
    assert world.read("alice") == V2
    push(world, V1, signature_of(ann, V1))
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert (world.read("alice"), view(world).signer) == (V1, fingerprint(ann))


def test_an_absurd_signature_is_not_even_read(world: World) -> None:
    push(world, V1, b" " * (MAX_BYTES + 1))
    assert f"larger than {MAX_BYTES} bytes" in refusal(world)


def test_certificates_count_while_their_chain_is_valid(make_world: MakeWorld, keys: Path) -> None:
    authority, other = Authority(keys, "voices"), Authority(keys, "others")
    vouch(keys, authority)
    world, directory = make_world(), write(keys / "voice", V1)
    push(world, V1, authority.sign(directory, "expired", (-3.0, -1.0)))
    assert "certificate has expired" in refusal(world)
    push(world, V1, authority.sign(directory, "early", (1.0, 3.0)))
    assert "certificate is not yet valid" in refusal(world)
    push(world, V1, other.sign(directory, "stranger"))
    assert "its certificate is not to be trusted" in refusal(world)
    push(world, V1, authority.sign(directory, "build server"))
    assert world.sync("alice").outcome is Outcome.SUCCESS
    assert view(world).signer == "CN=build server"


def test_an_authority_that_has_expired_vouches_for_nobody(make_world: MakeWorld, keys: Path) -> None:
    authority = Authority(keys, "old", (-5.0, -1.0))
    vouch(keys, authority)
    world = make_world()
    push(world, V1, authority.sign(write(keys / "voice", V1), "build server", (-2.0, 1.0)))
    assert "certificate has expired" in refusal(world)


def test_a_chain_may_have_authorities_between(make_world: MakeWorld, keys: Path) -> None:
    root = Authority(keys, "root")
    between = Authority(keys, "voices", above=root)
    vouch(keys, root)
    world, directory = make_world(), write(keys / "voice", V1)
    push(world, V1, between.sign(directory, "build server"))
    assert world.sync("alice").outcome is Outcome.SUCCESS
    expired = Authority(keys, "old voices", (-3.0, -1.0), above=root)
    push(world, V2, expired.sign(write(directory, V2), "build server"))
    assert "certificate has expired" in refusal(world)


@pytest.mark.parametrize(
    ("subject", "authority", "why"),
    [
        ("voices of others", True, "cannot be used for signing"),
        ("build\nserver", False, "its subject names nobody"),
    ],
)
@pytest.mark.filterwarnings("ignore:The 'warn' method is deprecated:DeprecationWarning")  # the library's own
def test_a_certificate_that_is_not_a_signers_does_not_count(
    make_world: MakeWorld, keys: Path, subject: str, *, authority: bool, why: str
) -> None:
    root = Authority(keys, "voices")
    vouch(keys, root)
    world = make_world()
    push(world, V1, root.sign(write(keys / "voice", V1), subject, authority=authority))
    assert why in refusal(world)


def test_a_key_does_not_count_where_a_certificate_is_asked_for_and_the_other_way_round(
    world: World, ann: KeyPair, keys: Path
) -> None:
    push(world, V1, Authority(keys, "voices").sign(write(keys / "voice", V1), "build server"))
    assert "GATE_SIGNATURE_KEY names none" in refusal(world)


def test_records_without_signers_are_written_as_before_and_later_fields_passed_over() -> None:
    current = Current(ALICE, "1" * 32, "2" * 32, 1.0)  # type: ignore[arg-type]
    assert not {"signer", "unsigned"} & json.loads(current.to_json()).keys()
    manifest = Manifest(ALICE, "1" * 32, "2" * 32, (), False, "s3://b/", 1.0, "sync")  # type: ignore[arg-type]
    assert "signer" not in json.loads(manifest.to_json())
    later = json.loads(current.to_json()) | {"signer": "CN=ann", "of a later version": 1}
    found = Current.from_json(json.dumps(later).encode())
    assert found.signer == "CN=ann"


def other_curve() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256K1())


BAD_KEYS: dict[str, tuple[str, str]] = {
    "private": ("-----BEGIN PRIVATE KEY-----\n", "holds a private key"),
    "junk": ("hello", "holds neither a public key nor certificates"),
    "other curve": (other_curve().public_key().public_bytes(PEM, PublicFormat.SubjectPublicKeyInfo).decode(), "P-256"),
    "certificate": ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
}


@pytest.mark.parametrize("name", BAD_KEYS)
def test_a_key_that_cannot_be_used_is_told_at_start(keys: Path, name: str) -> None:
    content, why = BAD_KEYS[name]
    path = keys / "trusted" / name
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=f"GATE_SIGNATURE_KEY: {path} .*{why}"):
        TrustedSigners((keys / "trusted",))


def test_a_missing_key_or_library_is_told_at_start(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="no file is in"):
        TrustedSigners((keys / "trusted",))
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        TrustedSigners((keys / "absent.pub",))
    with pytest.raises(ConfigurationError, match="cannot be read: File name too long"):
        TrustedSigners((Path("k" * 5000),))
    monkeypatch.setitem(sys.modules, "model_signing.verifying", None)
    with pytest.raises(ConfigurationError, match=r"install modelsync\[signing\]"):
        TrustedSigners((keys / "trusted",))
    monkeypatch.setitem(sys.modules, "model_signing.signing", None)
    with pytest.raises(ConfigurationError, match=r"install modelsync\[signing\]"):
        KeySigner(keys / "ann.key", None)


def test_nothing_of_the_library_is_loaded_while_signatures_are_off() -> None:
    code = (
        "import sys; from modelsync.config import load; from modelsync.service.signing import signatures;"
        "import modelsync.service.run, modelsync.cli.push, modelsync.cli.main;"
        "print(signatures(load({'S3_BUCKET_NAME': 'models'}).settings, None, None),"
        "[name for name in sys.modules if name.startswith(('model_signing', 'modelsync.adapters.sign'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "None []\n"


def test_a_voice_of_too_many_files_to_sign_is_not_uploaded(
    world: World, ann: KeyPair, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelsync.app.push.MAX_BYTES", 500)
    push = Push(
        folder=LocalFolder(write(keys / "voice", V1)),
        store=world.store,
        uploads=FakeUploads(world.bucket),
        clock=world.clock,
        observe=world.observe,
        naming=world.naming,
        options=PushOptions(concurrency=1),
        gate=FakeGate(),
        signer=KeySigner(ann.private, None),
    )
    with pytest.raises(Rejected, match="3 files are too many to sign: their signature has over 500 bytes"):
        push.prepare("alice", world.stop)
    push.close()


def test_an_encrypted_key_signs_with_its_password_alone(keys: Path, ann: KeyPair) -> None:
    locked = make_key(keys, "locked", "open sesame")
    assert KeySigner(locked.private, "open sesame").name == fingerprint(locked)
    with pytest.raises(ConfigurationError, match="the password is wrong"):
        KeySigner(locked.private, "open")
    with pytest.raises(ConfigurationError, match="put its password into SIGN_KEY_PASSWORD"):
        KeySigner(locked.private, None)
    with pytest.raises(ConfigurationError, match="the key is not encrypted"):
        KeySigner(ann.private, "open sesame")
    with pytest.raises(ConfigurationError, match="holds no private key"):
        KeySigner(ann.public, None)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        KeySigner(keys / "absent.key", None)
    (keys / "odd.key").write_bytes(private_pem(other_curve()))
    with pytest.raises(ConfigurationError, match="not on the curve P-256, P-384 or P-521"):
        KeySigner(keys / "odd.key", None)

"""Whether somebody who is trusted has signed what readers are to see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from modelsync.app.checksums import hasher
from modelsync.app.commit import read_whole
from modelsync.app.mismatch import twice
from modelsync.app.patience import LOOKS
from modelsync.app.progress import SyncContext
from modelsync.core.manifest import Current, FileRecord, Manifest
from modelsync.core.names import Naming, RelPath
from modelsync.core.objects import RemoteObject, Revision, Snapshot
from modelsync.core.plan import Refuse
from modelsync.core.proof import Proof
from modelsync.core.signature import MAX_BYTES, RULE, Verdict, bad, misfit
from modelsync.errors import Rejected
from modelsync.ports import ObjectStore, Volume
from modelsync.ports.signing import SignatureVerifier

Signers = Callable[[], str]
"""Names those who may sign now, and whether somebody must; empty: nobody asks."""

Read = Callable[[RelPath], Iterable[memoryview]]
"""Gives a file's bytes in order."""

_READ_BYTES = 1 << 20


def nobody() -> str:
    """Where signatures are not asked for."""
    return ""


@dataclass(frozen=True)
class Signatures:
    """Judges revisions. Thread-safe.

    Attributes:
        store: the bucket.
        volume: where revisions are kept.
        verifier: knows whom to trust.
        naming: which files are published.
        require: what nobody signed is refused; else it is only told.

    Raises, from every method that judges:
        VerificationFailed, StoreUnavailable, StoreDenied, ObjectChanged: S3 does not give the signature.
        VolumeFailed: a file must be read and cannot be.
        ConfigurationError: those who are trusted cannot be read.
        Stopped: the work is parked.
    """

    store: ObjectStore
    volume: Volume
    verifier: SignatureVerifier
    naming: Naming
    require: bool

    def signers(self) -> str:
        """Names who may sign, and whether somebody must: what was judged under another name is judged again."""
        return f"{'require' if self.require else 'warn'} {self.verifier.signers()}"

    def judge(
        self, revision: Revision, snapshot: Snapshot, files: Sequence[FileRecord], read: Read, context: SyncContext
    ) -> Verdict | Refuse:
        """Judge files that are complete and verified by the signature beside them in the bucket.

        A file is read only if no commit file gave its SHA-256, which it was held against when it arrived.
        """
        verdict = self._verdict(snapshot, files, read, context)
        if self.require and verdict.unsigned is not None:
            return Refuse(revision, RULE, verdict.unsigned, rules=verdict.signers)
        return verdict

    def judge_kept(self, manifest: Manifest, snapshot: Snapshot, context: SyncContext) -> Verdict | Refuse:
        """Judge a revision that is on the volume, maybe from before signatures were asked for."""
        return self.judge(manifest.revision, snapshot, manifest.files, self._reader(manifest), context)

    def judge_again(self, current: Current, snapshot: Snapshot, context: SyncContext) -> Verdict | None:
        """Judge what readers see by a signature, or by signers, that may be new; None: what is on record holds.

        It takes nothing from readers, whatever comes of it. A new signature that does not fit is one of something else.
        """
        manifest = self.volume.manifest(current.model, current.revision)
        if manifest is None:
            return None
        verdict = self._verdict(snapshot, manifest.files, self._reader(manifest), context)
        known = current.signer is not None and current.signers == verdict.signers
        return None if known and verdict.signer is None else verdict

    def _reader(self, manifest: Manifest) -> Read:
        return lambda path: self.volume.read(manifest.model, manifest.revision, path, _READ_BYTES)

    def _verdict(self, snapshot: Snapshot, files: Sequence[FileRecord], read: Read, context: SyncContext) -> Verdict:
        signers = self.signers()  # before the look at them: should they change meanwhile, it is judged again
        with context.stage("signature"):
            try:
                return Verdict(signers, signer=self._signer(snapshot, files, read, context))
            except Rejected as error:
                return Verdict(signers, unsigned=error.reason)

    def _signer(self, snapshot: Snapshot, files: Sequence[FileRecord], read: Read, context: SyncContext) -> str:
        if snapshot.single:
            raise Rejected(RULE, "an object alone cannot be signed: put it below a prefix, as a model of one file")
        if snapshot.signature is None:
            raise Rejected(RULE, f"it is not signed: {self.naming.signature_file} is not there")
        signed = self.verifier.open(self._fetch(snapshot.signature, context))
        hashes = {file.path: file.sha256 or _sha256(read(file.path), context) for file in files}
        if (reason := misfit(signed, snapshot.model, hashes, self.naming)) is not None:
            raise Rejected(RULE, f"the signature by {signed.signer} does not fit: {reason}")
        return signed.signer

    def _fetch(self, remote: RemoteObject, context: SyncContext) -> bytes:
        if remote.size_bytes > MAX_BYTES:
            raise bad(f"it is larger than {MAX_BYTES} bytes")
        name = self.naming.signature_file
        retries = context.retries(LOOKS, name)
        return twice(self.store, lambda: retries(lambda: read_whole(self.store, remote, name, context.check)))


def _sha256(blocks: Iterable[memoryview], context: SyncContext) -> str:
    found = hasher(Proof.COMMIT)
    for block in blocks:
        context.beat()
        context.check()
        found.update(block)
    return found.value()

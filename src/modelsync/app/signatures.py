"""Whether somebody who is trusted has signed what readers are to see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from modelsync.app.checksums import hasher
from modelsync.app.commit import read_whole
from modelsync.app.mismatch import twice
from modelsync.app.progress import SyncContext
from modelsync.core.manifest import Current, FileRecord, Manifest
from modelsync.core.names import Naming, RelPath
from modelsync.core.objects import RemoteObject, Snapshot
from modelsync.core.proof import Proof
from modelsync.core.signature import MAX_BYTES, RULE, Verdict, bad, misfit
from modelsync.errors import Rejected
from modelsync.ports import ObjectStore, Volume
from modelsync.ports.signing import SignatureVerifier

Policy = Callable[[], str | None]
"""Names what an operator has set that refusals depend on."""

Read = Callable[[RelPath], Iterable[memoryview]]
"""Gives a file's bytes in order."""


_READ_BYTES = 1 << 20


def no_policy() -> None:
    """Where refusals depend on nothing that an operator sets."""


@dataclass(frozen=True)
class Signatures:
    """Judges revisions. Thread-safe.

    Attributes:
        store: the bucket.
        volume: where revisions are kept.
        verifier: knows whom to trust.
        naming: which files are published.
        require: what nobody signed is refused; else it is only told.
    """

    store: ObjectStore
    volume: Volume
    verifier: SignatureVerifier
    naming: Naming
    require: bool

    def judge(self, snapshot: Snapshot, files: Sequence[FileRecord], read: Read, context: SyncContext) -> Verdict:
        """Judge files that are complete and verified by the signature beside them in the bucket.

        A file is read only if no commit file gave its SHA-256, which it was held against when it arrived.

        Raises:
            Rejected: rule `signature`; nobody who is trusted signed these files, and somebody must.
            VerificationFailed, StoreUnavailable, StoreDenied, ObjectChanged: S3 does not give the signature.
            ConfigurationError: those who are trusted cannot be read.
            Stopped: the work is parked.
        """
        with context.stage("signature"):
            try:
                return Verdict(signer=self._signer(snapshot, files, read, context))
            except Rejected as error:
                if self.require:
                    raise
                return Verdict(unsigned=error.reason)

    def judge_kept(self, manifest: Manifest, snapshot: Snapshot, context: SyncContext) -> Verdict:
        """Judge a revision that is on the volume, maybe from before signatures were asked for.

        Raises:
            ModelSyncError: as `judge`; VolumeFailed where a file must be read and cannot be.
        """

        def read(path: RelPath) -> Iterable[memoryview]:
            return self.volume.read(manifest.model, manifest.revision, path, _READ_BYTES)

        return self.judge(snapshot, manifest.files, read, context)

    def judge_again(self, current: Current, snapshot: Snapshot, context: SyncContext) -> Verdict | None:
        """Judge what readers see by a signature that may be new; None: there is nothing to tell.

        One that does not fit takes nothing from readers: it was not made of what they see.
        """
        manifest = self.volume.manifest(current.model, current.revision)
        if snapshot.signature is None or manifest is None:
            return None
        try:
            verdict = self.judge_kept(manifest, snapshot, context)
        except Rejected:
            return None
        return None if verdict.signer is None and current.signer is not None else verdict

    def policy(self) -> str:
        """Names who is trusted, and what for: what was refused under another name is looked at again."""
        return f"{'require' if self.require else 'warn'} {self.verifier.policy()}"

    def _signer(self, snapshot: Snapshot, files: Sequence[FileRecord], read: Read, context: SyncContext) -> str:
        if snapshot.single:
            raise Rejected(RULE, "an object alone cannot be signed: put it below a prefix, as a model of one file")
        if snapshot.signature is None:
            raise Rejected(RULE, f"it is not signed: {self.naming.signature_file} is not there")
        signed = self.verifier.open(self._fetch(snapshot.signature, context))
        hashes = {file.path: file.sha256 or _sha256(read(file.path), context) for file in files}
        if (reason := misfit(signed, hashes, self.naming)) is not None:
            raise Rejected(RULE, f"the signature by {signed.signer} does not fit: {reason}")
        return signed.signer

    def _fetch(self, remote: RemoteObject, context: SyncContext) -> bytes:
        if remote.size_bytes > MAX_BYTES:
            raise bad(f"it is larger than {MAX_BYTES} bytes")
        name = self.naming.signature_file
        return twice(self.store, lambda: read_whole(self.store, remote, name, context.check))


def _sha256(blocks: Iterable[memoryview], context: SyncContext) -> str:
    found = hasher(Proof.COMMIT)
    for block in blocks:
        context.beat()
        context.check()
        found.update(block)
    return found.value()

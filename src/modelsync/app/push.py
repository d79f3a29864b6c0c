"""A directory to the bucket as one version of a model: its files, then the commit file that lists them.

Nothing is ever removed. Until the commit file is there the worker goes by the one before it, so a
push that ends half-way changes nothing that readers see, and the next one goes on with what is missing.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

from modelsync.app.outbound import Outbound
from modelsync.app.parallel import Step, run_steps
from modelsync.app.patience import Patience
from modelsync.app.payload import BytesPayload
from modelsync.app.present import Present
from modelsync.app.upload import FileUpload, digest
from modelsync.core.etags import same_object
from modelsync.core.facts import GateWarned, PushStage, UploadLeft
from modelsync.core.names import ModelId, Naming, RelPath
from modelsync.core.objects import ModelFile, RemoteObject, Revision, revision_of
from modelsync.core.proof import Proof
from modelsync.core.signature import MAX_BYTES
from modelsync.core.upload import (
    Before,
    DigestedFile,
    LocalFile,
    OnRecord,
    Selection,
    Unfit,
    UploadPlan,
    key_of,
    plan_upload,
    select,
)
from modelsync.errors import ModelSyncError, ObjectChanged, Rejected, SourceChanged
from modelsync.ports import Clock, ObjectStore, Observer
from modelsync.ports.gate import Gate
from modelsync.ports.push import Folder, Uploads
from modelsync.ports.signing import Signer

_ABORT_ATTEMPTS = 3


@dataclass(frozen=True)
class PushOptions(Patience):
    """Bounds of a push. `concurrency`: requests at once, and files read at once."""

    concurrency: int = 8


@dataclass(frozen=True)
class Prepared:
    """What a push found, and what it will do. `signature`: to be written, if a signature is asked for."""

    selection: Selection
    plan: UploadPlan
    signature: bytes | None = None


class Push:
    """Pushes one directory: `prepare`, then `carry_out`."""

    def __init__(
        self,
        *,
        folder: Folder,
        store: ObjectStore,
        uploads: Uploads,
        clock: Clock,
        observe: Observer,
        naming: Naming,
        options: PushOptions,
        gate: Gate,
        signer: Signer | None = None,
    ) -> None:
        self._gate = gate
        self._folder = folder
        self._present = Present(store, naming)
        self._uploads = uploads
        self._clock = clock
        self._observe = observe
        self._naming = naming
        self._options = options
        self._signer = signer
        self._threads = ThreadPoolExecutor(options.concurrency, thread_name_prefix="push")

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def prepare(self, name: str, stop: threading.Event) -> Prepared:
        """Read directory and bucket, and decide. Writes nothing.

        Args:
            name: the model's name as a person typed it.
            stop: ends it.

        Raises:
            Rejected: rule `unfit`, or the gate's; the worker would refuse it.
            GateFailed, VolumeFailed: the gate cannot judge it.
            SourceChanged, SourceUnreadable: the directory.
            ObjectChanged, StoreUnavailable, StoreDenied, BucketMissing: the bucket.
            Stopped: `stop` was set.
        """
        selection = select(name, self._folder.scan(), self._naming)
        if isinstance(selection, Unfit):
            raise Rejected("unfit", selection.reason)
        outbound = self._outbound(selection.model, stop)
        self._judge(selection, outbound)
        before = self._look(selection, outbound)
        files = self._digest(selection.files, before, outbound)
        plan = plan_upload(selection.model, files, before, self._naming)
        if isinstance(plan, Unfit):
            raise Rejected("unfit", plan.reason)
        return Prepared(selection, plan, self._signature(plan.model, files))

    def _signature(self, model: ModelId, files: Sequence[DigestedFile]) -> bytes | None:
        if self._signer is None:
            return None
        signature = self._signer.sign(model, {file.path: file.sha256 for file in files})
        if len(signature) > MAX_BYTES:
            raise Rejected(
                "unfit", f"{len(files)} files are too many to sign: their signature has over {MAX_BYTES} bytes"
            )
        return signature

    def carry_out(self, prepared: Prepared, stop: threading.Event) -> Revision:
        """Upload what is missing; signature and commit file last, and only if nothing else changed meanwhile.

        Returns:
            The revision that the worker makes of it.

        Raises:
            SourceChanged: a local file changed.
            ObjectChanged: somebody else uploads the model too.
            SourceUnreadable, StoreUnavailable, StoreDenied, BucketMissing: it failed.
            Stopped: `stop` was set.
        """
        plan = prepared.plan
        outbound = self._outbound(plan.model, stop)
        etags = {file.path: etag for file, etag in plan.kept} | self._upload(plan, outbound)
        if plan.commit_reason is not None or prepared.signature is not None:
            self._run([partial(self._commit, prepared, etags, outbound)], outbound)
        sizes = {file.path: file.size_bytes for file in prepared.selection.files}
        return revision_of(ModelFile(path, RemoteObject(path, sizes[path], etag, 0.0)) for path, etag in etags.items())

    def _outbound(self, model: ModelId, stop: threading.Event) -> Outbound:
        push_id = uuid.uuid4().hex[:12]
        return Outbound(model, push_id, self._clock, self._observe, self._options, stop, threading.Event())

    def _run(self, steps: Iterable[Step], outbound: Outbound) -> None:
        def give_up() -> None:
            outbound.cancel.set()
            self._uploads.break_off()

        run_steps(
            self._threads,
            iter(steps),
            most=self._options.concurrency,
            tend=outbound.check,
            give_up=give_up,
        )

    def _judge(self, selection: Selection, outbound: Outbound) -> None:
        """Have the gate look at the files: it is better known now than after gigabytes."""
        files = {RelPath(file.path): file.size_bytes for file in selection.files}
        judgement = self._gate.judge(self._folder.path, files, outbound.check)
        for warning in judgement.warnings:
            self._observe(GateWarned(outbound.model, outbound.push_id, warning.rule, warning.reason))
        if judgement.refused is not None:
            flaw = judgement.refused
            raise Rejected(flaw.rule, f"a worker with these rules would refuse it: {flaw.reason}")

    def _look(self, selection: Selection, outbound: Outbound) -> Before:
        """See what the bucket has of the model, with records of what may be there already."""
        found: list[Before] = []
        records: dict[str, OnRecord] = {}

        def look() -> None:
            found.append(outbound.patiently("the bucket", lambda: self._present.before(selection)))

        def ask(path: str, remote: RemoteObject) -> None:
            records[path] = outbound.patiently(path, lambda: self._present.record(remote))

        self._run([look], outbound)
        [before] = found
        sizes = {file.path: file.size_bytes for file in selection.files}
        alike = [(path, remote) for path, remote in before.objects.items() if sizes.get(path) == remote.size_bytes]
        self._run([partial(ask, path, remote) for path, remote in alike], outbound)
        return replace(before, records=records)

    def _digest(self, files: Sequence[LocalFile], before: Before, outbound: Outbound) -> list[DigestedFile]:
        digested: dict[str, DigestedFile] = {}
        self._observe(PushStage(outbound.model, "read", len(files), sum(file.size_bytes for file in files)))

        def read(file: LocalFile) -> None:
            record = before.records.get(file.path)
            proofs = {record.expected.proof} - {Proof.SIZE} if record else set()
            digested[file.path] = digest(self._folder, file, proofs, outbound)

        self._run([partial(read, file) for file in files], outbound)
        return [digested[file.path] for file in files]

    def _upload(self, plan: UploadPlan, outbound: Outbound) -> dict[RelPath, str]:
        """Upload the files; return their ETags by path."""
        if plan.uploads:
            self._observe(PushStage(plan.model, "upload", len(plan.uploads), plan.upload_bytes))
        files = [
            FileUpload(
                planned, key_of(plan.model, planned.file.path, self._naming), self._folder, self._uploads, outbound
            )
            for planned in plan.uploads
        ]
        try:
            self._run((step for file in files for step in file.steps()), outbound)
            self._run((file.finish for file in files if file.held), outbound)
        except BaseException:
            self._abort(files, outbound)
            raise
        return {file.file.path: file.etag() for file in files}

    def _abort(self, files: Sequence[FileUpload], outbound: Outbound) -> None:
        """Abort what was begun in parts and is no object: S3 would keep, and charge for, the parts."""
        patience = replace(self._options, attempts=_ABORT_ATTEMPTS)
        last = replace(outbound, patience=patience, stop=threading.Event(), cancel=threading.Event())
        for file in files:
            try:
                file.abort(last)
            except ModelSyncError as error:
                self._observe(UploadLeft(outbound.model, file.file.path, str(error)))

    def _commit(self, prepared: Prepared, etags: Mapping[RelPath, str], outbound: Outbound) -> None:
        """Write signature and commit file, if directory and bucket are as they say."""
        selection = prepared.selection
        again = select(selection.model, self._folder.scan(), self._naming)
        if isinstance(again, Unfit) or again.files != selection.files:
            raise SourceChanged("the directory changed while it was uploaded: push again when it is complete")
        objects = outbound.patiently("the bucket", lambda: self._present.objects(selection))
        for path, etag in etags.items():
            if path not in objects or not same_object(objects[path].etag, etag):
                raise ObjectChanged(
                    f"{path!r} was replaced in the bucket meanwhile: see who else uploads {selection.model!r}, and push"
                    " again"
                )
        if prepared.signature is not None:
            self._write(selection.model, self._naming.signature_file, prepared.signature, outbound)
        if prepared.plan.commit_reason is not None:
            self._write(selection.model, self._naming.commit_file, prepared.plan.commit, outbound)

    def _write(self, model: ModelId, name: str, content: bytes, outbound: Outbound) -> None:
        payload, key = BytesPayload(content), key_of(model, name, self._naming)
        outbound.patiently(name, lambda: self._uploads.put(key, payload))

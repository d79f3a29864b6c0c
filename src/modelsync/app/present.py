"""What the bucket has of a model that is about to be pushed."""

from __future__ import annotations

from collections.abc import Mapping

from modelsync.app.commit import read_commit
from modelsync.core.commit import CommittedFile
from modelsync.core.names import Naming
from modelsync.core.objects import RemoteObject
from modelsync.core.proof import expected
from modelsync.core.upload import Before, OnRecord, Selection, beside, key_of
from modelsync.errors import Rejected, VerificationFailed
from modelsync.ports import ObjectStore


class Present:
    """Asks the bucket. Every method raises what `ports.ObjectStore` raises."""

    def __init__(self, store: ObjectStore, naming: Naming) -> None:
        self._store = store
        self._naming = naming

    def before(self, selection: Selection) -> Before:
        """What the bucket has of the model, still without records.

        Raises:
            Rejected: rule `unfit`; the files must not join what is there.
        """
        objects = dict(self.objects(selection))
        commit = objects.pop(self._naming.commit_file, None)
        signed = objects.pop(self._naming.signature_file, None) is not None
        if commit is None:
            return Before(objects, {}, signed=signed)
        return Before(objects, {}, self._committed(commit), commit.last_modified, signed=signed)

    def objects(self, selection: Selection) -> Mapping[str, RemoteObject]:
        """The model's objects by path.

        Raises:
            Rejected: rule `unfit`; the files must not join them.
        """
        listing = self._store.list(self._naming.list_prefix(selection.model)).objects
        if (unfit := beside(selection, listing, self._naming)) is not None:
            raise Rejected("unfit", unfit.reason)
        prefix = key_of(selection.model, "", self._naming)
        return {remote.key.removeprefix(prefix): remote for remote in listing if remote.key.startswith(prefix)}

    def record(self, remote: RemoteObject) -> OnRecord:
        """An object with what a file can be compared by."""
        return OnRecord(remote, expected(self._store.head(remote), parts_known=False))

    def _committed(self, commit: RemoteObject) -> tuple[CommittedFile, ...] | None:
        """What the commit file lists; None if the worker would refuse it."""
        try:
            return read_commit(self._store, commit, self._naming, lambda: None)
        except (Rejected, VerificationFailed):
            return None

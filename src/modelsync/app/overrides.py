"""What an operator decides over the bucket: rollback, pin and unpin; and over refusals: recheck.

They work on the volume alone, under the model's lock: any process may carry them out while others sync.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from modelsync.app.progress import Beat
from modelsync.core.facts import Pinned, Published, Unpinned
from modelsync.core.manifest import Manifest, succeed
from modelsync.core.manifest import Published as OnVolume
from modelsync.core.names import ModelId
from modelsync.core.objects import Digest, Revision
from modelsync.core.rollback import Impossible, Overridden, Refetch, Restore, Stay, choose
from modelsync.core.status import told
from modelsync.errors import ModelBusy, NoRoom, NotPossible, Rejected, Stopped
from modelsync.ports import Clock, Observer, Volume, Writer

Refetching = Callable[[Manifest, Writer, str, threading.Event], None]
"""Bring a remembered revision back to the volume; told the manifest, the writer, a sync's id and when to stop."""

MakeRoom = Callable[[int, Beat], bool]
"""As `Collector.make_room`."""

_BUSY_SECONDS = 0.5
_SHORT = 12  # characters of a revision's name, in words
_UNKNOWN = Digest("")
"""Names no listing: the next look at the bucket compares the files."""


class Overrides:
    """Rolls back, pins, unpins and forgets refusals. Thread-safe.

    Raises, from every method:
        NotPossible: it cannot be done as things are.
        ModelBusy: another worker was at the model all the time.
        VolumeFailed: the file system refused.
        Stopped: the process is ending.
    """

    def __init__(
        self,
        *,
        volume: Volume,
        refetch: Refetching,
        make_room: MakeRoom,
        clock: Clock,
        observe: Observer,
        by: str,
        stop: threading.Event,
        patience_seconds: float,
    ) -> None:
        """Make it.

        Args:
            volume: where the models are.
            refetch: for revisions that are not on the volume any more.
            make_room: where these do not fit.
            clock: for records, and for waiting.
            observe: told of what is done.
            by: who asks, in words.
            stop: ends waiting and downloads.
            patience_seconds: how long to wait for another worker of a model.
        """
        self._volume = volume
        self._refetch = refetch
        self._make_room = make_room
        self._clock = clock
        self._observe = observe
        self._by = by
        self._stop = stop
        self._patience_seconds = patience_seconds

    def rollback(self, model: ModelId, to: str | None = None) -> Overridden:
        """Switch readers to an earlier revision and pin the model to it.

        Args:
            model: its name.
            to: the revision's name or the start of it; None: the one before.

        Raises:
            StoreUnavailable, StoreDenied: S3 did not give what is not on the volume any more.
            NoRoom: it does not fit, whatever may go.
        """
        try:
            return self._rollback(model, to)
        except NoRoom as error:
            # Without the model's lock: other revisions of its own may have to go.
            if not self._make_room(error.bytes_short, lambda: None):
                raise
            return self._rollback(model, to)

    def _rollback(self, model: ModelId, to: str | None) -> Overridden:
        sync_id = uuid.uuid4().hex[:12]
        with self._writer(model) as writer:
            found = self._volume.published(model)
            match choose(found, self._volume.history(model), to):
                case Impossible(reason):
                    raise NotPossible(f"{model} stays as it is: {reason}")
                case Stay(reason=reason):
                    kept = self._pin(found, f"by {self._by}", writer)
                    return replace(kept, reason=f"{reason}; {kept.reason}")
                case Restore(revision, reason):
                    manifest = self._volume.manifest(model, revision)
                case Refetch(revision, reason):
                    manifest = self._volume.recall(model, revision)
                    if manifest is not None:
                        self._refetch(manifest, writer, sync_id, self._stop)
            if manifest is None:
                raise NotPossible(f"{model} stays as it is: the manifest of revision {revision} cannot be read")
            return self._switch(found, manifest, reason, sync_id, writer)

    def _switch(self, found: OnVolume, manifest: Manifest, reason: str, sync_id: str, writer: Writer) -> Overridden:
        before, now = found.current, self._clock.now()
        left = before.revision if before and before.revision != manifest.revision else None
        pin = f"rolled back {f'from {left[:_SHORT]} ' if left else ''}by {self._by}"
        current = succeed(before, manifest, now=now, listing=manifest.listing, pin=pin, rolled_back=True)
        try:
            writer.publish(current, manifest)
        except Rejected as error:
            raise NotPossible(f"{manifest.model} stays as it is: {error}") from error
        self._observe(
            Published(
                model=manifest.model,
                revision=manifest.revision,
                sync_id=sync_id,
                previous=left,
                files=len(manifest.files),
                size_bytes=sum(file.size_bytes for file in manifest.files),
                published_at=now,
                event_at=None,
                reason=f"{pin}: {reason}",
                pinned=True,
                rolled_back=True,
            )
        )
        self._observe(Pinned(manifest.model, manifest.revision, pin, rolled_back=True))
        return Overridden(manifest.model, manifest.revision, pinned=True, changed=True, reason=f"{pin}: {reason}")

    def pin(self, model: ModelId, why: str | None = None) -> Overridden:
        """Keep what readers see now, whatever the bucket has.

        Args:
            model: its name.
            why: for people.
        """
        with self._writer(model) as writer:
            found = self._volume.published(model)
            if found.linked is None:
                raise NotPossible(f"{model} cannot be pinned: readers see no revision of it")
            return self._pin(
                found, f"{why} (by {self._by})" if why else f"by {self._by}", writer, again=why is not None
            )

    def _pin(self, found: OnVolume, pin: str, writer: Writer, *, again: bool = False) -> Overridden:
        """Pin a model to what readers see; `again`: also one that is pinned, for another reason."""
        current = found.current
        if current is None or current.revision != found.linked:
            raise NotPossible("its record cannot be read: sync the model first")
        if current.pin is not None and (current.pin == pin or not again):
            already = f"it is pinned already: {current.pin}"
            return Overridden(current.model, current.revision, pinned=True, changed=False, reason=already)
        writer.record(replace(current, pin=pin, gone_since=None))
        self._observe(Pinned(current.model, current.revision, pin))
        return Overridden(current.model, current.revision, pinned=True, changed=True, reason=f"pinned: {pin}")

    def unpin(self, model: ModelId) -> Overridden:
        """Let the bucket decide again what readers see. The next sync of the model makes it so."""
        with self._writer(model) as writer:
            current = self._volume.published(model).current
            if current is None or current.pin is None:
                linked: Revision | None = self._volume.linked(model)
                return Overridden(model, linked, pinned=False, changed=False, reason="it is not pinned")
            # Whatever listing the pin was kept against: the bucket is to be looked at again.
            writer.record(replace(current, pin=None, listing=_UNKNOWN))
        reason = f"unpinned by {self._by}; it was pinned: {current.pin}"
        self._observe(Unpinned(model, current.revision, reason))
        return Overridden(model, current.revision, pinned=False, changed=True, reason=reason)

    def recheck(self, model: ModelId) -> None:
        """Forget why versions of a model were refused: the next sync judges again. Fine if none was."""
        if self._volume.published(model).quarantined:
            with self._writer(model) as writer:
                writer.pardon()

    @contextmanager
    def _writer(self, model: ModelId) -> Iterator[Writer]:
        if not told(self._volume.published(model), None):
            raise NotPossible(f"there is no model {model!r} on the volume")
        with ExitStack() as held:
            writer = self._wait_for(model, held)
            writer.mend()
            yield writer

    def _wait_for(self, model: ModelId, held: ExitStack) -> Writer:
        """Become the model's writer, waiting for another one for a while."""
        give_up = self._clock.monotonic() + self._patience_seconds
        while True:
            try:
                return held.enter_context(self._volume.writer(model))
            except ModelBusy as error:
                if self._clock.monotonic() >= give_up:
                    raise ModelBusy(f"{error}: it was waited for {self._patience_seconds:.0f} s; try again") from error
            if self._clock.wait(self._stop, _BUSY_SECONDS):
                raise Stopped("interrupted while another worker was waited for")

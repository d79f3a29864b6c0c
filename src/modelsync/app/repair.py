"""What is done about damage: a damaged revision is never used again. The normal sync builds it anew."""

from __future__ import annotations

import math
import threading
from collections.abc import Collection

from modelsync.app.verify import Check, Verifier
from modelsync.core.damage import Finding, damaging
from modelsync.core.facts import DamageFound
from modelsync.core.manifest import Damage
from modelsync.core.names import ModelId, RelPath
from modelsync.core.objects import Revision
from modelsync.errors import ModelBusy
from modelsync.ports import Clock, Observer, Volume

_FINDINGS_ON_RECORD = 100
_BUSY_SECONDS = 1.0


class Repairer:
    """Acts on findings that hold when looked at again, under the model's lock."""

    def __init__(self, volume: Volume, verifier: Verifier, clock: Clock, observe: Observer) -> None:
        self._volume = volume
        self._verifier = verifier
        self._clock = clock
        self._observe = observe

    def settle(
        self,
        model: ModelId,
        revision: Revision,
        paths: Collection[str],
        check: Check,
        *,
        stop: threading.Event,
        patience_seconds: float = math.inf,
    ) -> tuple[Finding, ...]:
        """Set a damaged revision aside, or make its files read-only again.

        A second look under the lock tells damage from a read that failed once, and from a
        revision that somebody else has built anew meanwhile.

        Args:
            model: whose revision it is.
            revision: the one with the findings.
            paths: files to read again.
            check: told of the bytes read, and called while another worker is waited for.
            stop: ends the waiting; `check` is what raises then.
            patience_seconds: how long to wait for another worker of the model.

        Returns:
            What was found again.

        Raises:
            ModelBusy: another worker was at the model all the time.
            VolumeFailed: the file system refused.
        """
        give_up = self._clock.monotonic() + patience_seconds
        while True:
            try:
                return self._locked(model, revision, paths, check)
            except ModelBusy:
                if self._clock.monotonic() >= give_up:
                    raise
                self._clock.wait(stop, _BUSY_SECONDS)
                check(0)

    def _locked(self, model: ModelId, revision: Revision, paths: Collection[str], check: Check) -> tuple[Finding, ...]:
        with self._volume.writer(model) as writer:
            published = self._volume.published(model)
            if revision not in published.kept:
                return ()
            found = self._verifier.revision(model, revision, check, paths)
            if damage := damaging(found):
                writer.set_aside(Damage(model, revision, self._clock.now(), damage[:_FINDINGS_ON_RECORD]))
            else:
                for finding in found:
                    writer.protect(revision, RelPath(finding.path))
        for finding in found:
            self._observe(DamageFound(model, revision, finding, seen=published.linked == revision))
        return found

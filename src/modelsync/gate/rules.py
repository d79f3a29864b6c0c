"""What the gate goes by: handed over to the process that checks, and named in manifests."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Literal

from modelsync import __version__
from modelsync.core.limits import GateLimits


@dataclass(frozen=True)
class GateRules:
    """What may pass.

    Attributes:
        structure: whether a file that is not what its format asks for is refused, told of, or not looked at.
        pickle: whether pickles may pass: all, those that name nothing dangerous, none.
        pickle_allow: what pickles may use beyond what PyTorch and NumPy need.
        limits: how large a model may be.
    """

    structure: Literal["refuse", "warn", "off"] = "refuse"
    pickle: Literal["allow", "scan", "refuse"] = "scan"
    pickle_allow: tuple[str, ...] = ()
    limits: GateLimits = field(default_factory=GateLimits)

    @property
    def digest(self) -> str:
        """Names these rules as this version understands them: what was judged by others is judged again."""
        return hashlib.sha256(self.to_json() + __version__.encode()).hexdigest()[:16]

    def to_json(self) -> bytes:
        """Serialise; the same rules give the same bytes."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes) -> GateRules:
        """Read what `to_json` wrote: this is no foreign input."""
        found = json.loads(data)
        found["pickle_allow"] = tuple(found["pickle_allow"])
        return cls(**found | {"limits": GateLimits(**found["limits"])})

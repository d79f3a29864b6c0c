"""The verdict on one pickle, of this package and of a second scanner."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal

from modelsync.errors import Rejected
from modelsync.gate.pickles.machine import Machine
from modelsync.gate.pickles.opcodes import MAX_BYTES, MAX_OPCODES, OpcodeReader
from modelsync.gate.pickles.values import BadPickle, Scanned
from modelsync.gate.second_opinion import check_by_picklescan
from modelsync.gate.source import Source


@dataclass(frozen=True, slots=True)
class PicklePolicy:
    """What is to be done with pickles.

    Attributes:
        mode: `scan` them; `allow` all: they are read only as far as to find their end; `refuse` all.
        allowed: globals that may be asked for beside those in `names`, as `allowed_names` gives them.
    """

    mode: Literal["allow", "scan", "refuse"] = "scan"
    allowed: frozenset[str] = frozenset()


def judge_pickle(source: Source, *, where: str, policy: PicklePolicy) -> Scanned:
    """Judge the pickle that a source begins with, by `scan_pickle` and then by picklescan: either may refuse.

    Args:
        source: the file, or the part of it that begins with the pickle.
        where: what it is called in a reason.
        policy: what is to be done with pickles.

    Returns:
        Where the pickle ends, and what it asks its loader for. What is behind it is the caller's to judge.

    Raises:
        Rejected: rule `pickle`.
        OSError: the source cannot be read.
    """
    end, machine = _scan(source, where, policy, 0)
    if policy.mode != "scan":
        return Scanned(end)
    check_by_picklescan(source, 0, end, machine.names, where=where)
    return Scanned(end, machine.storages)


def scan_pickle(source: Source, *, where: str, policy: PicklePolicy, offset: int = 0) -> int:
    """Judge the pickle that begins at an offset, by this package alone; as `judge_pickle` otherwise."""
    return _scan(source, where, policy, offset)[0]


def _scan(source: Source, where: str, policy: PicklePolicy, offset: int) -> tuple[int, Machine]:
    """The pickle's end, and what followed it."""
    if policy.mode == "refuse":
        raise Rejected("pickle", f"{where} is a pickle, and GATE_PICKLE=refuse lets none pass: use safetensors or ONNX")
    bounded = policy.mode == "scan"
    reader = OpcodeReader(
        source,
        offset,
        max_bytes=MAX_BYTES if bounded else sys.maxsize,
        max_opcodes=MAX_OPCODES if bounded else sys.maxsize,
    )
    machine = Machine(policy.allowed)
    try:
        for name, argument in reader:
            if policy.mode == "scan":
                machine.step(name, argument)
    except BadPickle as error:
        raise Rejected("pickle", f"{where} cannot be loaded safely: at byte {reader.at:,} {error}") from None
    return reader.end, machine

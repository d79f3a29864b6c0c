"""Pickles: judged opcode by opcode, never loaded. A pickle is a program, and this is a tripwire, not a wall.

What passes builds plain data, tensors and arrays, and asks for nothing but what `names` lists.
"""

from modelsync.gate.pickles.extension import allowed_names
from modelsync.gate.pickles.judge import PicklePolicy, judge_pickle, scan_pickle
from modelsync.gate.pickles.values import Scanned, Storage

__all__ = ["PicklePolicy", "Scanned", "Storage", "allowed_names", "judge_pickle", "scan_pickle"]

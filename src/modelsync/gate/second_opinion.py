"""picklescan, a maintained scanner of pickles, as a second opinion.

It lists a pickle's globals with a parser that shares nothing with ours but the documentation, and knows some to be
dangerous. It parses without executing. It keeps all opcodes in memory, so it is asked only about what our own bounded
scan let pass.
"""

from __future__ import annotations

import io
import logging

from modelsync.core.words import quoted, some
from modelsync.errors import Rejected


def check_by_picklescan(pickled: bytes, names: set[tuple[str, str]], *, where: str) -> None:
    """Ask picklescan about one whole pickle.

    Args:
        pickled: the pickle, up to its STOP.
        names: module and attribute of each global that our own scan found. Where picklescan finds others,
            one of the two was deceived.
        where: what it is called in a reason.

    Raises:
        Rejected: rule `pickle`; picklescan finds something dangerous, finds other globals, or fails.
    """
    from picklescan.scanner import SafetyLevel, scan_pickle_bytes

    logging.getLogger("picklescan").disabled = True  # it logs what it reads; the reason says what matters
    try:
        found = scan_pickle_bytes(io.BytesIO(pickled), where)
    except Exception as error:  # noqa: BLE001 - whatever it fails with, it has not judged
        raise Rejected("pickle", f"{where} cannot be judged: picklescan failed with {quoted(repr(error))}") from error
    dangerous = [f"{each.module}.{each.name}" for each in found.globals if each.safety is SafetyLevel.Dangerous]
    if dangerous:
        raise Rejected("pickle", f"{where} cannot be loaded safely: picklescan finds {quoted(some(dangerous))} in it")
    if found.scan_err or {(each.module, each.name) for each in found.globals} != names:
        raise Rejected("pickle", f"{where} cannot be judged: picklescan does not read it as we do")

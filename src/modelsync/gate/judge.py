"""The whole model by all rules: limits, formats and pickles."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from modelsync.core.judgement import Flaw, Judgement
from modelsync.core.limits import check_limits
from modelsync.core.names import RelPath
from modelsync.errors import Rejected
from modelsync.gate.check import check_file
from modelsync.gate.kinds import may_unpickle
from modelsync.gate.pickles import PicklePolicy, allowed_names, judge_pickle
from modelsync.gate.rules import GateRules
from modelsync.gate.source import Source


def judge(files: Mapping[RelPath, Source], rules: GateRules) -> Judgement:
    """Judge a model by its files. The first refusal ends it.

    Limits and the rules for pickles hold whatever `rules.structure` is. So a file that its loader may unpickle must be
    whole as long as pickles are not allowed: what cannot be followed cannot be scanned.

    Args:
        files: by their paths inside the model.
        rules: what may pass.

    Raises:
        OSError: a file could not be read.
    """
    try:
        check_limits({path: source.size_bytes for path, source in files.items()}, rules.limits)
    except Rejected as error:
        return Judgement(Flaw(error.rule, error.reason))
    policy = PicklePolicy(rules.pickle, allowed_names(rules.pickle_allow))
    warnings: list[Flaw] = []
    for path in sorted(files):
        lenient = rules.structure != "refuse" and (rules.pickle == "allow" or not may_unpickle(path))
        if lenient and rules.structure == "off":
            continue
        try:
            check_file(path, files, partial(judge_pickle, policy=policy), allow_code=rules.pickle == "allow")
        except Rejected as error:
            flaw = Flaw(error.rule, error.reason, path)
            if not lenient:
                return Judgement(flaw, tuple(warnings))
            warnings.append(flaw)
    return Judgement(None, tuple(warnings))

"""The policies of docs/aws.md, and ways to hold others against them."""

from __future__ import annotations

import json
import re
from typing import Any

from support.manifests import ROOT

Policy = dict[str, Any]


def documented(name: str) -> Policy:
    """The policy of the worker or the publisher."""
    page = (ROOT / "docs/aws.md").read_text()
    match = re.search(rf"<!-- {name} policy -->\n```json\n(.*?)```", page, re.DOTALL)
    assert match is not None
    policy: Policy = json.loads(match[1])
    return policy


def words(value: str | list[str]) -> list[str]:
    """IAM writes a list of one as that one."""
    return [value] if isinstance(value, str) else value


def grants(policy: Policy) -> set[tuple[str, str]]:
    """Each permission with the kind of thing that it is on, whatever that is called."""
    assert all(statement["Effect"] == "Allow" for statement in policy["Statement"])
    return {
        (action, resource.split(":")[2] + ("/voices/*" if resource.endswith("/voices/*") else ""))
        for statement in policy["Statement"]
        for action in words(statement["Action"])
        for resource in words(statement["Resource"])
    }

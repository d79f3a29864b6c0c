"""What may be released under which tag."""

from __future__ import annotations

import pytest
from scripts.release_check import problems

PACKAGE = '"""Docs."""\n\n__version__ = "1.2.3"\n'
CHANGELOG = "# Changelog\n\n## Unreleased\n\n## 1.2.3 - 2026-11-24\n\n- Something.\n"


def test_a_tag_that_says_what_the_package_and_the_changelog_say() -> None:
    assert problems("v1.2.3", PACKAGE, CHANGELOG) == []


@pytest.mark.parametrize(
    ("tag", "changelog", "problem"),
    [
        ("v1.2.4", CHANGELOG, "the tag is v1.2.4, and __version__ is 1.2.3: it must be v1.2.3"),
        ("1.2.3", CHANGELOG, "the tag is 1.2.3, and __version__ is 1.2.3: it must be v1.2.3"),
        ("v1.2.3", "# Changelog\n\n## Unreleased\n", "CHANGELOG.md has no heading '## 1.2.3 - YYYY-MM-DD'"),
        (
            "v1.2.3",
            CHANGELOG.replace("## Unreleased\n", "## Unreleased\n\n- More.\n"),
            "CHANGELOG.md has entries under Unreleased: move them below the version",
        ),
    ],
)
def test_what_speaks_against_a_release(tag: str, changelog: str, problem: str) -> None:
    assert problems(tag, PACKAGE, changelog) == [problem]

"""What may be released under which tag."""

from __future__ import annotations

import subprocess
import sys

import pytest
from scripts.release_check import IMAGE_TAG, ROOT, problems

PACKAGE = '"""Docs."""\n\n__version__ = "1.2.3"\n'
CHANGELOG = "# Changelog\n\n## Unreleased\n\n## 1.2.3 - 2026-11-24\n\n- Something.\n"


TAGS = {"overlays/dev": "latest", "overlays/prod": "1.2.3"}


def test_a_tag_that_says_what_the_package_and_the_changelog_say() -> None:
    assert problems("v1.2.3", PACKAGE, CHANGELOG, TAGS) == []


def test_a_manifest_with_the_image_of_another_release_speaks_against_one() -> None:
    [problem] = problems("v1.2.3", PACKAGE, CHANGELOG, TAGS | {"overlays/prod": "1.2.2"})
    assert problem == "overlays/prod runs the image of 1.2.2: it must be 1.2.3"


def test_the_projects_own_manifests_are_held_against_the_version() -> None:
    command = [sys.executable, "scripts/release_check.py", "v99.0.0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "runs the image" not in done.stderr
    found = {
        path for path in ROOT.glob("deploy/kubernetes/**/kustomization.yaml") if IMAGE_TAG.search(path.read_text())
    }
    assert {"dev", "prod", "tts", "tts-init", "tts-sidecar"} == {path.parent.name for path in found}


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
    assert problems(tag, PACKAGE, changelog, TAGS) == [problem]

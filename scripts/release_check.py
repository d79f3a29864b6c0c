"""Says whether this checkout can be released under a tag: `python scripts/release_check.py v1.2.3`."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
IMAGE_TAG = re.compile(r"^ *newTag: [\"']?([^\"'\s]+)", re.MULTILINE)
VERSION = re.compile(r'^__version__ = "([^"]+)"$', re.MULTILINE)


def problems(tag: str, package: str, changelog: str, image_tags: Mapping[str, str]) -> list[str]:
    """What speaks against a release.

    Args:
        tag: the git tag, `v` and the version.
        package: the text of `src/modelsync/__init__.py`.
        changelog: the text of CHANGELOG.md.
        image_tags: which image each kustomization runs.

    Returns:
        A sentence for each problem; none: it can be released.
    """
    found = VERSION.search(package)
    version = found[1] if found else "missing"
    result = []
    if tag != f"v{version}":
        result.append(f"the tag is {tag}, and __version__ is {version}: it must be v{version}")
    if not re.search(rf"^## {re.escape(version)} - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        result.append(f"CHANGELOG.md has no heading '## {version} - YYYY-MM-DD'")
    unreleased = re.search(r"^## Unreleased\n(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    if unreleased and "\n- " in f"\n{unreleased[1]}":
        result.append("CHANGELOG.md has entries under Unreleased: move them below the version")
    result += [
        f"{file} runs the image of {image_tag}: it must be {version}"
        for file, image_tag in image_tags.items()
        if image_tag not in {version, "latest"}
    ]
    return result


def main() -> int:
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python scripts/release_check.py vX.Y.Z\n")
        return 2
    package = (ROOT / "src" / "modelsync" / "__init__.py").read_text()
    image_tags = {
        str(path.relative_to(ROOT)): tag
        for path in sorted(ROOT.glob("deploy/kubernetes/**/kustomization.yaml"))
        for tag in IMAGE_TAG.findall(path.read_text())
    }
    found = problems(sys.argv[1], package, (ROOT / "CHANGELOG.md").read_text(), image_tags)
    for problem in found:
        sys.stderr.write(f"release_check: {problem}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

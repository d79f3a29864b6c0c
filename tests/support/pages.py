"""Parts of docs/ that a run has written: what stands between `<!-- MARK -->` and `<!-- end -->`."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def shown(page: str, mark: str) -> str:
    """What a page shows."""
    [text] = _part(mark).findall((DOCS / page).read_text())
    return str(text)


def show(page: str, mark: str, text: str) -> None:
    """Write it into a page."""
    path = DOCS / page
    path.write_text(_part(mark).sub(lambda _: text, path.read_text()))


def _part(mark: str) -> re.Pattern[str]:
    return re.compile(rf"(?<=<!-- {mark} -->\n).*?(?=<!-- end -->)", re.DOTALL)

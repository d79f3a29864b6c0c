"""What Python 3.11 of the first days cannot do: Debian 12 has 3.11.2."""

from __future__ import annotations

import re
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src"


def test_no_pattern_repeats_a_group_possessively() -> None:
    """Before 3.11.5 it matches something else (gh-106052): every JSON document was refused."""
    code = {path.name: re.sub(r"#.*", "", path.read_text()) for path in SOURCE.rglob("*.py")}
    assert [name for name, text in code.items() if re.search(r"\)[*+?]\+", text)] == []

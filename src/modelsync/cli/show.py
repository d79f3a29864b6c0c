"""`modelsync config`."""

from __future__ import annotations

import json as json_module
import sys

from rich.console import Console
from rich.table import Table

from modelsync.config import load
from modelsync.config.load import effective


def show_config(*, json: bool) -> None:
    """Print every variable with its effective value.

    Raises:
        ConfigurationError: something is wrong with it.
    """
    rows = effective(load())
    if json:
        document = {row.name: {"value": row.value, "source": row.source} for row in rows}
        sys.stdout.write(json_module.dumps(document, indent=2) + "\n")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("variable", "value", "from"):
        table.add_column(column, overflow="fold")
    for row in rows:
        style = "bold" if row.source == "environment" else ""
        table.add_row(row.name, row.value, row.source, style=style)
    console = Console()
    console.print(table, soft_wrap=not console.is_terminal)

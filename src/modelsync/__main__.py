"""`python -m modelsync` and the `modelsync` command, which is there without the worker's dependencies too."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, or say what has to be installed for it."""
    if sys.argv[1:2] == ["wait"]:
        from modelsync.client.command import main as wait

        sys.exit(wait(sys.argv[1:]))
    try:
        from modelsync.cli import main as command

        command()
    except ModuleNotFoundError as error:
        if (error.name or "modelsync").partition(".")[0] == "modelsync":
            raise
        sys.stderr.write(
            f"modelsync: {error.name} is not installed: install modelsync[worker] (`wait` works without)\n"
        )
        sys.exit(2)


if __name__ == "__main__":
    main()

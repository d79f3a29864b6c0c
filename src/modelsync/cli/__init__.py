"""The `modelsync` command. Commands import only what they use: `--help` must not wait for botocore."""

from modelsync.cli.main import main

__all__ = ["main"]

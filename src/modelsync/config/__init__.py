"""From environment variables to each room's options, with everything that is wrong told at once."""

from modelsync.config.load import load
from modelsync.config.settings import Settings

__all__ = ["Settings", "load"]

"""The shared volume as a directory of a POSIX file system."""

from modelsync.adapters.volume.local import LocalVolume

__all__ = ["LocalVolume"]

"""What the volume can do."""

from __future__ import annotations

from dataclasses import dataclass

from modelsync.core.doctor.findings import Finding, failed, failure, ok, skipped, warning
from modelsync.core.mounts import Mount
from modelsync.core.space import SpaceRules
from modelsync.core.words import size
from modelsync.errors import ModelSyncError, VolumeFailed, VolumeUnusable

_OBJECT_STORES = ("mountpoint-s3", "s3fs", "goofys", "gcsfuse", "rclone", "geesefs", "blobfuse")
_MEMORY = frozenset({"tmpfs", "ramfs", "shm"})
_LEAST_INODES = 1000


@dataclass(frozen=True, slots=True)
class Room:
    """What is free. `inodes`: None where the file system does not count them."""

    total_bytes: int
    free_bytes: int
    inodes: int | None


@dataclass(frozen=True, slots=True)
class Rights:
    """Who we are, and whose the directory is that we write into. `mode`: its permission bits."""

    path: str
    uid: int
    gid: int
    owner_uid: int
    owner_gid: int
    mode: int


@dataclass(frozen=True, slots=True)
class Abilities:
    """What the file system offers beyond what is needed.

    Attributes:
        reuse: how a file's bytes get into another revision: `clone`, `link` or `copy`.
        direct: large files are written past the page cache.
    """

    reuse: str
    direct: bool


_REUSE = {
    "clone": "files that did not change share their blocks with the revision before",
    "link": "files that did not change are hard-linked, but beside an .onnx file copied",
    "copy": "files that did not change are copied, since the file system has neither clones nor hard links",
}


def judge_mount(mount: Mount | ModelSyncError | None, base: str) -> Finding:
    """Judge what is mounted at the volume's path; None: that cannot be told."""
    name = "mount"
    if isinstance(mount, ModelSyncError):
        return failure(name, mount, f"mount the volume at {base}, or set MODELS_BASE_PATH")
    if mount is None:
        return skipped(name, f"{base} is a directory; what is mounted there cannot be told")
    found = f"{base} is on {mount.kind}, mounted at {mount.point}"
    words = f"{mount.kind} {mount.source}".lower()
    if mount.kind.startswith("fuse") and (store := next((each for each in _OBJECT_STORES if each in words), None)):
        known = "Mountpoint for S3" if store == "mountpoint-s3" else store
        return failed(
            name,
            f"{found}: {known} supports neither atomic rename nor symlinks as a switch of models needs them",
            "mount a file system there: a local disk, NFSv4 or EFS",
        )
    if mount.kind in _MEMORY:
        return warning(
            name,
            f"{found}: models are kept in memory, count against the pod's limit, and are gone with it",
            "mount a PersistentVolumeClaim there, but for a trial",
        )
    if mount.kind == "overlay":
        return warning(
            name,
            f"{found}: that is the container's own layer, which no other pod sees and which goes with the container",
            f"mount a PersistentVolumeClaim at {base}, but for a trial",
        )
    if mount.kind.startswith("nfs"):
        return ok(name, f"{found}; readers elsewhere see a switch after up to {_cache(mount.options)}")
    return ok(name, found)


def _cache(options: str) -> str:
    chosen = dict(option.partition("=")[::2] for option in options.split(","))
    if "noac" in chosen:
        return "no time, since attributes are not cached"
    seconds = chosen.get("actimeo") or chosen.get("acdirmax") or "60"
    return f"{seconds} s, the life of its attribute cache (mount option acdirmax)"


def judge_writing(error: ModelSyncError | None, rights: Rights | None) -> Finding:
    """Judge whether the volume does what publication needs.

    Args:
        error: what became of the trial; None: all of it worked.
        rights: who may write there, if that can be told.
    """
    name = "writing"
    if error is None:
        return ok(name, "files, fsync, symlinks, atomic rename and flock work (tried, and cleaned up)")
    reason = error.reason if isinstance(error, VolumeUnusable | VolumeFailed) else "other"
    if reason == "permission" and rights is not None:
        return failed(
            name,
            f"user {rights.uid}, group {rights.gid} may not write to {rights.path}, which belongs to"
            f" {rights.owner_uid}:{rights.owner_gid} with mode {rights.mode:04o}",
            f"set fsGroup in the pod's securityContext, or chown -R {rights.uid}:{rights.gid} {rights.path}",
        )
    return failure(name, error, "mount a file system with symlinks, atomic rename and flock")


def judge_space(room: Room | ModelSyncError, rules: SpaceRules) -> Finding:
    """Judge what is free on the volume."""
    name = "space"
    if isinstance(room, ModelSyncError):
        return failure(name, room, "look at the volume's health")
    found = f"{size(room.free_bytes)} of {size(room.total_bytes)} are free"
    if room.free_bytes < rules.min_free_bytes:
        least = size(rules.min_free_bytes)
        return failed(
            name,
            f"{found}, and {least} must stay free: every download is refused",
            "enlarge the volume, free space on it, or lower VOLUME_MIN_FREE_BYTES",
        )
    if room.inodes is None:
        return ok(name, found)
    found += f", and {room.inodes:,} inodes"
    if room.inodes < _LEAST_INODES:
        judged = warning if room.inodes else failed
        return judged(name, found, "use a file system with more inodes: each file of each revision takes one")
    return ok(name, found)


def judge_abilities(abilities: Abilities) -> Finding:
    """Tell what the file system makes cheap; that is for information."""
    direct = "; large files go past the page cache" if abilities.direct else ""
    return ok("reuse", f"{_REUSE[abilities.reuse]}{direct}")

"""What consumers of a model report: a small file each. Any replica writes and reads them, without the model's lock."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from modelsync.adapters.volume.files import names_in, of_one_file, replace_file
from modelsync.adapters.volume.paths import TEMPORARY, ModelPaths
from modelsync.core.rollout import MOST_BYTES, Consumer, read_report, report_name

_MOST_READ = 2000  # replicas that count at the same moment may let in a few too many; whoever writes here, many
_LEFT_BEHIND_SECONDS = 300


def reports_in(paths: ModelPaths) -> list[Consumer]:
    """All reports that can be read. What is no report is passed over."""
    found = (_read(paths.consumers, name) for name in names_in(paths.consumers)[:_MOST_READ])
    return [consumer for consumer in found if consumer is not None]


def write_report(paths: ModelPaths, consumer: Consumer, *, most: int) -> bool:
    """Put a report in place of the consumer's last one; return False if it has none, and there are so many already.

    Raises:
        FileNotFoundError: there is nothing of the model.
    """
    with suppress(FileExistsError):
        paths.consumers.mkdir(mode=0o755)
    name = report_name(consumer.name)
    names = names_in(paths.consumers)
    if name not in names and len(names) >= most:
        return False
    replace_file(paths.consumers / name, consumer.to_json())
    return True


def remove_reports(paths: ModelPaths, gone: Iterable[Consumer]) -> None:
    """Remove reports, and what writers that died left behind."""
    for consumer in gone:
        (paths.consumers / report_name(consumer.name)).unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        for name in os.listdir(paths.consumers):
            path = paths.consumers / name
            if name.startswith(TEMPORARY) and _is_old(path):
                path.unlink(missing_ok=True)


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.lstat().st_mtime > _LEFT_BEHIND_SECONDS
    except FileNotFoundError:
        return False


def _read(directory: Path, name: str) -> Consumer | None:
    try:
        descriptor = os.open(directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            data = os.read(descriptor, MOST_BYTES + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        if of_one_file(error) or isinstance(error, IsADirectoryError):
            return None
        raise
    return read_report(name, data) if len(data) <= MOST_BYTES else None

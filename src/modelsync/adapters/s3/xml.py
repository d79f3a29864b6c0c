"""S3's XML answers. They come from the network: parsed as a stream, without entities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import unquote_plus
from xml.parsers import expat

from modelsync.core.objects import RemoteObject
from modelsync.errors import StoreUnavailable


@dataclass
class ListPage:
    """One answer of ListObjectsV2."""

    objects: list[RemoteObject] = field(default_factory=list)
    next_token: str | None = None


def parse_list_page(data: bytes) -> ListPage:
    """Read an answer of ListObjectsV2 with `encoding-type=url`.

    Raises:
        StoreUnavailable: it is none, or breaks off.
    """
    page = ListPage()
    entry: dict[str, str] = {}

    def end(path: tuple[str, ...], text: str) -> None:
        match path:
            case (_, "Contents", name):
                entry[name] = text
            case (_, "Contents"):
                page.objects.append(_object(entry))
                entry.clear()
            case (_, "NextContinuationToken"):
                page.next_token = text

    root = _parse(data, end)
    if root != "ListBucketResult":
        raise StoreUnavailable(f"S3 answered a listing with {root or 'nothing'}")
    return page


def parse_error(data: bytes) -> dict[str, str]:
    """Read an error document: `Code`, `Message`, `Region` and so on; empty if it is none."""
    fields: dict[str, str] = {}

    def end(path: tuple[str, ...], text: str) -> None:
        match path:
            case ("Error", name):
                fields[name] = text

    try:
        _parse(data, end)
    except StoreUnavailable:
        return {}
    return fields


def _object(entry: dict[str, str]) -> RemoteObject:
    try:
        return RemoteObject(
            key=unquote_plus(entry["Key"]),
            size_bytes=int(entry["Size"]),
            etag=entry.get("ETag", "").strip('"'),
            last_modified=datetime.fromisoformat(entry["LastModified"]).timestamp(),
        )
    except (KeyError, ValueError) as error:
        raise StoreUnavailable(f"S3's listing has an entry that cannot be read: {error}") from error


def _parse(data: bytes, end: Callable[[tuple[str, ...], str], None]) -> str | None:
    """Call `end` with the path and text of each element; return the root's name."""
    parser = expat.ParserCreate(namespace_separator=None)
    parser.buffer_text = True
    path: list[str] = []
    texts: list[str] = []
    root: list[str] = []

    def on_start(name: str, _attributes: dict[str, str]) -> None:
        path.append(name)
        if len(path) == 1:
            root.append(name)
        texts.clear()

    def on_end(_name: str) -> None:
        end(tuple(path), "".join(texts))
        path.pop()
        texts.clear()

    parser.StartElementHandler = on_start
    parser.EndElementHandler = on_end
    parser.CharacterDataHandler = texts.append
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise StoreUnavailable(f"S3's answer is no XML: {error}") from error
    return root[0] if root else None

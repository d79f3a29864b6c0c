"""S3's XML answers. They come from the network: parsed as a stream, without entities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote_plus
from xml.parsers import expat

from modelsync.core.objects import RemoteObject
from modelsync.errors import StoreUnavailable

_MAX_SIZE_BYTES = 1 << 50  # far above what S3 stores


@dataclass(frozen=True)
class ListPage:
    """One answer of ListObjectsV2. `next_token`: where it goes on, or None at the end."""

    objects: list[RemoteObject]
    next_token: str | None


def parse_list_page(data: bytes) -> ListPage:
    """Read an answer of ListObjectsV2.

    Raises:
        StoreUnavailable: it is none, breaks off, or does not say where it goes on.
    """
    entries: list[dict[str, str]] = [{}]
    top: dict[str, str] = {}

    def end(path: tuple[str, ...], text: str) -> None:
        match path:
            case (_, "Contents", name):
                entries[-1][name] = text
            case (_, "Contents"):
                entries.append({})
            case (_, name):
                top[name] = text

    root = _parse(data, end)
    if root != "ListBucketResult":
        raise StoreUnavailable(f"S3 answered a listing with {root or 'nothing'}")
    # Not every store heeds `encoding-type`; those that do say so, some behind the entries.
    decode = unquote_plus if top.get("EncodingType") == "url" else str
    next_token = None
    if top.get("IsTruncated") == "true":
        next_token = top.get("NextContinuationToken")
        if not next_token:
            raise StoreUnavailable("S3's listing is not complete and does not say where it goes on")
    return ListPage([_object(entry, decode) for entry in entries[:-1]], next_token)


def parse_error(data: bytes) -> dict[str, str]:
    """Read an error document: `Code`, `Message`, `Region` and so on; empty if it is none."""
    return parse_fields(data, "Error")


def parse_fields(data: bytes, root: str) -> dict[str, str]:
    """Read the elements directly below the root; empty if the root is another, or the data no XML."""
    fields: dict[str, str] = {}

    def end(path: tuple[str, ...], text: str) -> None:
        match path:
            case (found, name) if found == root:
                fields[name] = text

    try:
        _parse(data, end)
    except StoreUnavailable:
        return {}
    return fields


def _object(entry: dict[str, str], decode: Callable[[str], str]) -> RemoteObject:
    try:
        remote = RemoteObject(
            key=decode(entry["Key"]),
            size_bytes=int(entry["Size"]),
            etag=entry.get("ETag", "").strip('"'),
            last_modified=datetime.fromisoformat(entry["LastModified"]).timestamp(),
        )
    except (KeyError, ValueError) as error:
        raise StoreUnavailable(f"S3's listing has an entry that cannot be read: {error}") from error
    if not (0 <= remote.size_bytes <= _MAX_SIZE_BYTES and remote.etag.isascii() and remote.etag.isprintable()):
        raise StoreUnavailable(f"S3's listing has an impossible size or ETag for {remote.key!r}")
    return remote


def _parse(data: bytes, end: Callable[[tuple[str, ...], str], None]) -> str | None:
    """Call `end` with the path and text of each element; return the root's name."""
    parser = expat.ParserCreate("utf-8")
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
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise StoreUnavailable(f"S3's answer is no XML: {error}") from error
    return root[0] if root else None

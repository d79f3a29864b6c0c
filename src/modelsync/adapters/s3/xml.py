"""S3's XML answers. They come from the network: parsed as a stream, without entities."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote_plus
from xml.parsers import expat

from modelsync.core.etags import parse_etag
from modelsync.core.objects import RemoteObject, Upload
from modelsync.errors import NotOffered, StoreUnavailable

_MAX_SIZE_BYTES = 1 << 50  # far above what S3 stores
_MAX_DEPTH = 16  # S3's answers have four levels
_ETAG = re.compile(r"[ -~]{0,1024}")

_TEXT = r"[^<>&\x00-\x1f\ufffe\uffff]*+"  # what XML takes as it stands
_QUOTE = "(?:&quot;|&#34;)?"
_REST = "|".join(f"<{name}>{_TEXT}</{name}>" for name in ("ChecksumAlgorithm", "ChecksumType", "StorageClass"))
_ENTRY = re.compile(
    f"<Contents><Key>({_TEXT})</Key><LastModified>({_TEXT})</LastModified><ETag>{_QUOTE}({_TEXT}){_QUOTE}</ETag>(?:{_REST})*"
    f"<Size>({_TEXT})</Size>(?:{_REST})*</Contents>"
)
_Listed = tuple[list[tuple[str, str, str, str]], dict[str, str], Callable[[str], str]]
"""Key, time, ETag and size of each object as they are written; the page's other fields; how its keys are decoded."""


@dataclass(frozen=True)
class ListPage:
    """One answer of ListObjectsV2. `next_token`: where it goes on, or None at the end."""

    objects: list[RemoteObject]
    next_token: str | None


@dataclass(frozen=True)
class UploadPage:
    """One answer of ListMultipartUploads. `next_markers`: key and upload id that it goes on behind, or None."""

    uploads: list[Upload]
    next_markers: tuple[str, str] | None


def parse_list_page(data: bytes) -> ListPage:
    """Read an answer of ListObjectsV2.

    Raises:
        StoreUnavailable: it is none, breaks off, or does not say where it goes on.
    """
    try:
        entries, top, decode = _plain_entries(data) or _entries(data)
        objects = [_object(decode, *entry) for entry in entries]
    except (KeyError, ValueError, OverflowError) as error:
        raise StoreUnavailable(f"S3's listing has an entry that cannot be read: {str(error)[:100]!r}") from error
    if top.get("IsTruncated") != "true":
        return ListPage(objects, None)
    return ListPage(objects, _marker(top, "NextContinuationToken"))


def _entries(data: bytes) -> _Listed:
    """Read a listing with all that XML allows."""
    entries, top, decode = _parse_page(data, "ListBucketResult", "Contents")
    return (
        [(found["Key"], found["LastModified"], found.get("ETag", ""), found["Size"]) for found in entries],
        top,
        decode,
    )


def _plain_entries(data: bytes) -> _Listed | None:
    """Read a listing whose entries are written as S3 writes them, in a quarter of the time; None for any other.

    The entries must follow each other without a gap. What is left of the page, with one empty entry in their place,
    is read as XML: that entry must stand where entries stand, so not in a comment or anywhere else.
    """
    try:
        head, *found = _ENTRY.split(data.decode())
    except UnicodeDecodeError:
        return None
    gaps = found[4::5]
    if not gaps or any(gaps[:-1]):
        return None
    entries, top, decode = _parse_page(f"{head}<Contents/>{gaps[-1]}".encode(), "ListBucketResult", "Contents")
    if entries != [{}]:
        return None
    return list(zip(found[0::5], found[1::5], found[2::5], found[3::5], strict=True)), top, decode


def parse_upload_page(data: bytes) -> UploadPage:
    """Read an answer of ListMultipartUploads.

    Raises:
        StoreUnavailable: as `parse_list_page`.
        NotOffered: it is a listing of objects.
    """
    entries, top, decode = _parse_page(data, "ListMultipartUploadsResult", "Upload")
    uploads = [_upload(entry, decode) for entry in entries]
    if top.get("IsTruncated") != "true":
        return UploadPage(uploads, None)
    return UploadPage(uploads, (decode(_marker(top, "NextKeyMarker")), top.get("NextUploadIdMarker", "")))


def _parse_page(
    data: bytes, root: str, element: str
) -> tuple[list[dict[str, str]], dict[str, str], Callable[[str], str]]:
    """Read a page of a list: its entries, its other fields, and how keys in it are decoded."""
    entries: list[dict[str, str]] = [{}]
    top: dict[str, str] = {}

    def end(path: tuple[str, ...], text: str) -> None:
        match path:
            case (_, name, field) if name == element:
                entries[-1][field] = text
            case (_, name) if name == element:
                entries.append({})
            case (_, name):
                top[name] = text

    found = parse(data, end)
    if found == "ListBucketResult" != root:
        raise NotOffered("S3 answered with a listing of objects: it does not know what it was asked for")
    if found != root:
        raise StoreUnavailable(f"S3 answered a listing with XML that is none: {(found or '')[:40]!r}")
    # Not every store heeds `encoding-type`; those that do say so, some behind the entries.
    return entries[:-1], top, unquote_plus if top.get("EncodingType") == "url" else str


def _marker(top: dict[str, str], name: str) -> str:
    if not top.get(name):
        raise StoreUnavailable("S3's listing is not complete and does not say where it goes on")
    return top[name]


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
        parse(data, end)
    except StoreUnavailable:
        return {}
    return fields


def _object(decode: Callable[[str], str], key: str, modified: str, etag: str, size: str) -> RemoteObject:
    remote = RemoteObject(decode(key), int(size), parse_etag(etag), datetime.fromisoformat(modified).timestamp())
    if not (0 <= remote.size_bytes <= _MAX_SIZE_BYTES and _ETAG.fullmatch(remote.etag)):
        raise StoreUnavailable(f"S3's listing has an impossible size or ETag for {remote.key[:100]!r}")
    return remote


def _upload(entry: dict[str, str], decode: Callable[[str], str]) -> Upload:
    try:
        return Upload(decode(entry["Key"]), datetime.fromisoformat(entry["Initiated"]).timestamp())
    except (KeyError, ValueError, OverflowError) as error:
        raise StoreUnavailable(f"S3's listing has an entry that cannot be read: {str(error)[:100]!r}") from error


def parse(data: bytes, end: Callable[[tuple[str, ...], str], None]) -> str | None:
    """Call `end` with the path and text of each element; return the root's name.

    Raises:
        StoreUnavailable: it is no XML, or of a kind that S3 never sends: with entities of its own, which
            can unfold to any size, or deeper than anything that is read here.
    """
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    path: list[str] = []
    texts: list[str] = []
    root: list[str] = []

    def on_start(name: str, _attributes: dict[str, str]) -> None:
        path.append(name)
        if len(path) > _MAX_DEPTH:
            raise StoreUnavailable("S3's answer is XML too deep to be a listing")
        if len(path) == 1:
            root.append(name)
        texts.clear()

    def on_end(_name: str) -> None:
        end(tuple(path), "".join(texts))
        path.pop()
        texts.clear()

    def on_entity(*_declaration: object) -> None:
        raise StoreUnavailable("S3's answer is XML with entities, which S3 does not send")

    parser.EntityDeclHandler = on_entity
    parser.StartElementHandler = on_start
    parser.EndElementHandler = on_end
    parser.CharacterDataHandler = texts.append
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise StoreUnavailable(f"S3's answer is no XML: {error}") from error
    return root[0] if root else None

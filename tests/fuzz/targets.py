"""What is thrown at the readers of hostile input, and what must hold of whatever they make of it.

A target takes any bytes. The errors that a reader documents are its way to say no; everything else that
comes out of a target is a bug.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress

from fuzz import formats
from fuzz.wire import Wire
from modelsync.adapters.s3.answers import failure, object_details
from modelsync.adapters.s3.http1 import Response
from modelsync.adapters.s3.xml import parse_error, parse_list_page, parse_upload_page
from modelsync.core.commit import parse_commit, render_commit
from modelsync.core.events import ObjectEvent, parse_events
from modelsync.core.judgement import Judgement, parse, render
from modelsync.core.manifest import BadRecord, Current, Damage, Manifest, Quarantine, Reconciled, Record, Scrubbed
from modelsync.core.names import Located, Naming, locate
from modelsync.core.objects import RemoteObject, gather, gather_all
from modelsync.core.proof import expected
from modelsync.core.rollout import Consumer
from modelsync.core.signature import parse_bundle
from modelsync.errors import ModelSyncError, NotOffered, Rejected, StoreUnavailable
from modelsync.gate.pickles import PicklePolicy, judge_pickle
from modelsync.gate.source import BytesSource

_NAMING = Naming()
_RECORDS: tuple[type[Record], ...] = (Manifest, Current, Quarantine, Reconciled, Damage, Scrubbed, Consumer)


def events(data: bytes) -> None:
    """A queue message's body. JSON around it may have made lone surrogates."""
    found = parse_events(data.decode("utf-8", "surrogateescape"))
    for event in found if isinstance(found, tuple) else ():
        assert isinstance(event, ObjectEvent)
        assert event.at is None or math.isfinite(event.at)
        _key(event.key)


def commit(data: bytes) -> None:
    """A commit file; what it lists can be written again."""
    try:
        files = parse_commit(data, _NAMING)
    except Rejected as error:
        _sentence(error)
    else:
        again = parse_commit(render_commit(files), _NAMING)
        assert sorted(again, key=lambda file: file.path) == sorted(files, key=lambda file: file.path)
        assert all(_key(f"alice/{file.path}") for file in files)


def listing(data: bytes) -> None:
    """A page of a listing, or of the uploads in progress, or an error document."""
    try:
        objects = parse_list_page(data).objects
        for remote in objects:
            _key(remote.key)
        _gathered(sorted(objects, key=lambda remote: remote.key))
    except (StoreUnavailable, NotOffered) as error:
        _sentence(error)
    try:
        for upload in parse_upload_page(data).uploads:
            assert math.isfinite(upload.begun_at)
    except (StoreUnavailable, NotOffered) as error:
        _sentence(error)
    parse_error(data)


def answer(data: bytes) -> None:
    """An HTTP answer: its first byte says into how large packets it is cut, and whether it is one to a HEAD."""
    packet, bodiless = (data[0] >> 1 or 4096, bool(data[0] & 1)) if data else (1, False)
    wire = Wire(data[1:], packet)
    try:
        response = Response(wire, bodiless=bodiless)
    except OSError:
        return
    assert response.status >= 200
    expected(object_details(response.headers, size_bytes=response.length or 0))
    with suppress(OSError):
        assert len(response.read(1 << 20)) <= len(data)
        assert isinstance(response.reusable, bool)
    with suppress(OSError):
        error = failure(Response(Wire(data[1:], packet), bodiless=bodiless), what="list the bucket", bucket="models")
        assert isinstance(error, ModelSyncError)
        _sentence(error)


def records(data: bytes) -> None:
    """A record on the volume; what can be read can be written, and is the same again."""
    for kind in _RECORDS:
        with suppress(BadRecord):
            found = kind.from_json(data)
            assert kind.from_json(found.to_json()) == found


def checker(data: bytes) -> None:
    """What the process that checks models says."""
    said = parse(data, ("config.json", "model.onnx"))
    if isinstance(said, Judgement):
        for flaw in (*said.warnings, *filter(None, [said.refused])):
            assert flaw.reason.isprintable() or not flaw.reason
            assert len(flaw.reason) <= 1000
            assert flaw.path in {None, "config.json", "model.onnx"}
    if said is not None:
        assert parse(render(said), ("config.json", "model.onnx")) == said


def pickles(data: bytes) -> None:
    """A pickle; both scanners. What is behind its end changes nothing."""
    try:
        end = judge_pickle(BytesSource(data), where="data.pkl", policy=PicklePolicy()).end
    except Rejected as error:
        _sentence(error)
    else:
        assert data[end - 1 : end] == b"."
        assert judge_pickle(BytesSource(data[:end]), where="data.pkl", policy=PicklePolicy()).end == end


def signature(data: bytes) -> None:
    """A signature; what the library is given says the same."""
    try:
        found = parse_bundle(data)
    except Rejected as error:
        _sentence(error)
    else:
        assert parse_bundle(found.render()) == found


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (events, commit, listing, answer, records, checker, pickles, signature)
} | formats.TARGETS

WORDS: dict[str, list[str]] = {
    "events": [
        '{"Records":[', '"s3":{"bucket":{"name":"b"},"object":{"key":"', '"eventTime":"2026-11-23T16:56:19.136Z"',
        '{"TopicArn":"t","Message":"', '"Type":"Notification"', '"detail-type":"x"', '"detail":', '"time":',
        '"Event":"s3:TestEvent"', '"Sns":', '"body":', '\\"', "\\ud800", "%2F", "+", "alice/model.onnx",
    ],
    "commit": [
        '{"version":1,"files":[', '"path":"', '"size_bytes":', '"sha256":"', "0" * 64, ".onnx", ".json", "../", "//",
        "\\ud800", "\\u2028", "1e999", "NaN", "true", "null",
    ],
    "listing": [
        "<ListBucketResult>", "</ListBucketResult>", "<ListMultipartUploadsResult>", "</ListMultipartUploadsResult>",
        "<Contents>", "</Contents>", "<Upload>", "</Upload>", "<Key>", "</Key>", "<Size>", "</Size>", "<ETag>",
        "</ETag>", "<LastModified>", "</LastModified>", "<Initiated>", "</Initiated>", "2026-01-01T00:00:00.000Z",
        "<EncodingType>url</EncodingType>", "<IsTruncated>true</IsTruncated>", "<NextContinuationToken>",
        "<Error>", "<Code>", "<![CDATA[", "]]>", "<!DOCTYPE", "<!ENTITY", "&#x", "&amp;", '<?xml version="1.0" ',
        'encoding="', "alice/model.onnx", "%", "+",
    ],
    "answer": [
        "HTTP/1.1 200 OK\r\n", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 101 x\r\n", "HTTP/1.0 503 x\r\n",
        "Content-Length: ", "Transfer-Encoding: chunked\r\n\r\n", "Connection: Upgrade\r\n", "Upgrade: x\r\n",
        "ETag: ", "x-amz-checksum-crc64nvme: ", "x-amz-checksum-type: COMPOSITE", "Retry-After: ", "\r\n\r\n", "0\r\n",
        "x-amz-bucket-region: ", "<Error><Code>", "</Code></Error>",
    ],
    "records": [
        '{"version":1', '"model":', '"revision":', '"listing":', '"files":[', '"path":', '"size_bytes":', '"etag":',
        '"published_at":', '"previous":[', '"superseded_at":', '"mismatch":', '"findings":[', '"kind":',
        '"finished_at":', "NaN", "null", "\\ud800", "1e999",
    ],
    "checker": [
        '{"ready":', '{"wanted":', '{"unreadable":[', '{"refused":', '"warnings":[', "null", '["gate-crash","x",null]',
        '"config.json"', "\\ud800", "true", "1e999", "NaN",
    ],
    "pickles": [
        "ccollections\nOrderedDict\n", "cos\nsystem\n", "ctorch\nFloatStorage\n", "ctorch._utils\n_rebuild_tensor_v2\n",
        "cnumpy\ndtype\n", "cnumpy._core.multiarray\n_reconstruct\n", "c_codecs\nencode\n", "cargparse\nNamespace\n",
        "X\x07\x00\x00\x00storage", "X\x06\x00\x00\x00latin1", "X\x02\x00\x00\x00f4", "(J\xff\xff\xff\xff", "I01\n",
            "p0\n",
        "S'f4'\n", "g0\n", "F1.5\n", "L1L\n", "Vf4\n", "PQ\n",
    ],
    "signature": [
        '{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"', '"verificationMaterial":{', '"publicKey":',
        '"hint":"', "0" * 64, '"x509CertificateChain":{"certificates":[', '{"rawBytes":"bGVhZg=="}', '"dsseEnvelope":{',
        '"payloadType":"application/vnd.in-toto+json"', '"payload":"cGF5bG9hZA=="', '"signatures":[', '{"sig":"c2ln"}',
        "\\ud800", "null",
    ],
} | formats.WORDS  # fmt: skip
"""What a fuzzer would not find by itself soon, for each target."""


def _key(key: str) -> bool:
    """Judge a key; whether it is a file's. One that is has a name on a volume."""
    found = locate(key, _NAMING)
    if isinstance(found, Located):
        assert not {"", ".", ".."} & set(f"{found.model}/{found.path}".split("/"))
        (found.model + found.path).encode()
    return isinstance(found, Located)


def _gathered(objects: list[RemoteObject]) -> None:
    for found in gather_all(objects, _NAMING):
        if isinstance(found, tuple) and (snapshot := gather(*found, _NAMING)) is not None:
            assert len(snapshot.digest) == 32


def _sentence(error: ModelSyncError) -> None:
    """Hold an error to what a log and a record can hold."""
    assert len(str(error)) < 1000, f"{len(str(error))} characters"
    str(error).encode()

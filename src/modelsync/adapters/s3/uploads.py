"""Uploads to a bucket, whole or in parts, each with the CRC64NVME that S3 holds its bytes against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from xml.sax.saxutils import escape

from modelsync.adapters.aws import AwsSession
from modelsync.adapters.s3.http1 import Response
from modelsync.adapters.s3.requests import Requests, S3Options
from modelsync.adapters.s3.xml import parse_fields
from modelsync.core.etags import parse_etag, strong_part
from modelsync.errors import ObjectChanged, StoreUnavailable
from modelsync.ports import Observer
from modelsync.ports.push import Payload, UploadedPart

_READ_SECONDS = 60.0  # what the kernel holds of a part may still be on its way when the answer is waited for
_COMPLETE_SECONDS = 600.0  # S3 may take minutes to make one object of many parts
_MAX_ANSWER_BYTES = 64 << 10
_CHECKSUM = "x-amz-checksum-crc64nvme"
_ALGORITHM = {"x-amz-checksum-algorithm": "CRC64NVME", "x-amz-checksum-type": "FULL_OBJECT"}


class S3Uploads:
    """Implements `ports.push.Uploads`."""

    def __init__(self, options: S3Options, session: AwsSession, observe: Observer) -> None:
        """Find the bucket's address; nothing is sent yet.

        Raises:
            ConfigurationError: region or endpoint cannot be.
        """
        patient = replace(options, timeouts=replace(options.timeouts, read=_READ_SECONDS))
        self._requests = Requests(patient, session, observe)

    def put(self, key: str, payload: Payload) -> str:
        """Upload an object in one request."""
        with self._send("PutObject", "PUT", key, {}, _headers_of(payload), payload) as response:
            response.read(_MAX_ANSWER_BYTES)
            return _etag(response.headers.get("etag"))

    def begin(self, key: str) -> str:
        """Begin an upload in parts."""
        with self._send("CreateMultipartUpload", "POST", key, {"uploads": ""}, _ALGORITHM) as response:
            document = response.read(_MAX_ANSWER_BYTES)
        upload_id = parse_fields(document, "InitiateMultipartUploadResult").get("UploadId")
        if not upload_id:
            raise StoreUnavailable(f"S3 gave no upload id for {key!r}")
        return upload_id

    def put_part(self, key: str, upload_id: str, number: int, payload: Payload) -> UploadedPart:
        """Upload one part."""
        query = {"partNumber": str(number), "uploadId": upload_id}
        with self._send("UploadPart", "PUT", key, query, _headers_of(payload), payload) as response:
            response.read(_MAX_ANSWER_BYTES)
            return UploadedPart(number, _etag(response.headers.get("etag")), payload.crc64nvme)

    def complete(
        self, key: str, upload_id: str, parts: Sequence[UploadedPart], *, size_bytes: int, crc64nvme: str
    ) -> str:
        """Make the parts one object."""
        body = memoryview(_part_list(parts).encode())
        headers = {
            "Content-Length": str(len(body)),
            "Content-Type": "application/xml",
            "x-amz-checksum-type": "FULL_OBJECT",
            "x-amz-mp-object-size": str(size_bytes),
            _CHECKSUM: crc64nvme,
        }
        with self._send("CompleteMultipartUpload", "POST", key, {"uploadId": upload_id}, headers, [body]) as response:
            # S3 answers 200 before it knows: white space while it works, then a document that tells.
            document = response.read(_MAX_ANSWER_BYTES, _COMPLETE_SECONDS).strip()
            done = parse_fields(document, "CompleteMultipartUploadResult")
            if not done:
                raise self._requests.failure(response, what=f"upload {key!r}", document=document)
        return _etag(done["ETag"]) if done.get("ETag") else self._ask_etag(key)

    def _ask_etag(self, key: str) -> str:
        # Ceph's answer has an empty one.
        with self._send("HeadObject", "HEAD", key, {}, {}) as response:
            response.read(_MAX_ANSWER_BYTES)
            return _etag(response.headers.get("etag"))

    def abort(self, key: str, upload_id: str) -> None:
        """Give up an upload in parts; fine if it is not there."""
        try:
            with self._send("AbortMultipartUpload", "DELETE", key, {"uploadId": upload_id}, {}) as response:
                response.read(_MAX_ANSWER_BYTES)
        except ObjectChanged:
            return

    def break_off(self) -> None:
        """Break off the requests under way."""
        self._requests.connections.break_off()

    def close(self) -> None:
        """Break off everything under way, for ever."""
        self._requests.connections.close()

    def _send(
        self,
        operation: str,
        method: str,
        key: str,
        query: dict[str, str],
        headers: Mapping[str, str],
        body: Iterable[memoryview] | None = None,
    ) -> AbstractContextManager[Response]:
        return self._requests.send(
            operation, method, key, what=f"upload {key!r}", query=query, headers=headers, body=body
        )


def _headers_of(payload: Payload) -> dict[str, str]:
    return {
        "Content-Length": str(payload.size_bytes),
        "x-amz-sdk-checksum-algorithm": "CRC64NVME",
        _CHECKSUM: payload.crc64nvme,
    }


def _part_list(parts: Sequence[UploadedPart]) -> str:
    entries = "".join(
        f"<Part><PartNumber>{part.number}</PartNumber><ETag>&quot;{escape(part.etag)}&quot;</ETag>"
        f"<ChecksumCRC64NVME>{escape(part.crc64nvme)}</ChecksumCRC64NVME></Part>"
        for part in parts
    )
    return (
        f'<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{entries}</CompleteMultipartUpload>'
    )


def _etag(said: str | None) -> str:
    etag = strong_part(parse_etag(said or ""))  # as a listing will have it
    if not etag:
        raise StoreUnavailable("S3 took an upload without saying its ETag")
    return etag

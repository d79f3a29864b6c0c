"""What S3, or something that only looks like it, can answer."""

from __future__ import annotations

import http.client
import io

import pytest

from modelsync.adapters.aws import AwsOptions, AwsSession
from modelsync.adapters.s3.answers import failure
from modelsync.adapters.s3.xml import parse_error, parse_list_page, parse_upload_page
from modelsync.core.objects import Upload
from modelsync.errors import (
    BucketMissing,
    ConfigurationError,
    CredentialsRefused,
    ModelSyncError,
    NotOffered,
    ObjectChanged,
    StoreDenied,
    StoreThrottled,
    StoreUnavailable,
)

ENTRY = (
    "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>{etag}</ETag>"
    "<Size>{size}</Size></Contents>"
)


def page(
    more: str = "", *, key: str = "a+b%41", etag: str = "&quot;e&quot;", size: str = "1", head: str = "", root: str = ""
) -> bytes:
    root = root or "ListBucketResult"
    return f"{head}<{root}>{ENTRY.format(key=key, etag=etag, size=size)}{more}</{root}>".encode()


def test_keys_are_decoded_only_if_the_store_says_that_they_are_encoded() -> None:
    assert parse_list_page(page()).objects[0].key == "a+b%41"
    assert parse_list_page(page("<EncodingType>url</EncodingType>")).objects[0].key == "a bA"
    assert parse_list_page(page()).objects[0].etag == "e"


@pytest.mark.parametrize(
    ("more", "token"),
    [
        ("", None),
        ("<IsTruncated>false</IsTruncated><NextContinuationToken/>", None),
        ("<IsTruncated>false</IsTruncated><NextContinuationToken>x</NextContinuationToken>", None),
        ("<IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken>", "x"),
    ],
)
def test_a_listing_goes_on_only_where_it_says_so(more: str, token: str | None) -> None:
    assert parse_list_page(page(more)).next_token == token


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not xml",
        page()[:-5],
        page("<IsTruncated>true</IsTruncated>"),
        page("<IsTruncated>true</IsTruncated><NextContinuationToken/>"),
        page(root="Error"),
        page(size="-1"),
        page(size="9999999999999999999999"),
        page(size="many"),
        page(etag="a&#10;b"),
        page(etag="€"),
        page(head='<?xml version="1.0" encoding="foo"?>').replace(b"foo", b"\xff"),
        b'<!DOCTYPE x [<!ENTITY a "b">]><ListBucketResult>&b;</ListBucketResult>',
    ],
)
def test_what_is_no_complete_listing_is_an_error_that_is_tried_again(data: bytes) -> None:
    with pytest.raises(StoreUnavailable):
        parse_list_page(data)


UPLOAD = "<Upload><Key>{key}</Key><UploadId>u</UploadId><Initiated>{begun}</Initiated></Upload>"


def uploads(more: str = "", *, key: str = "a+b%41", begun: str = "2026-01-01T00:00:00.000Z", root: str = "") -> bytes:
    root = root or "ListMultipartUploadsResult"
    return f"<{root}>{UPLOAD.format(key=key, begun=begun)}{more}</{root}>".encode()


def test_uploads_in_progress_are_read_with_their_keys_decoded() -> None:
    assert parse_upload_page(uploads()).uploads == [Upload("a+b%41", 1767225600.0)]
    page = parse_upload_page(uploads("<EncodingType>url</EncodingType>"))
    assert ([upload.key for upload in page.uploads], page.next_markers) == (["a bA"], None)


def test_a_list_of_uploads_goes_on_behind_its_markers() -> None:
    more = "<IsTruncated>true</IsTruncated><NextKeyMarker>a+b</NextKeyMarker>"
    assert parse_upload_page(uploads(f"{more}<NextUploadIdMarker>u</NextUploadIdMarker>")).next_markers == ("a+b", "u")
    assert parse_upload_page(uploads(f"{more}<EncodingType>url</EncodingType>")).next_markers == ("a b", "")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        uploads()[:-5],
        uploads(root="Error"),
        uploads(begun="yesterday"),
        uploads().replace(b"<Key>a+b%41</Key>", b""),
        uploads("<IsTruncated>true</IsTruncated>"),
        uploads("<IsTruncated>true</IsTruncated><NextKeyMarker/>"),
    ],
)
def test_what_is_no_complete_list_of_uploads_is_an_error_that_is_tried_again(data: bytes) -> None:
    with pytest.raises(StoreUnavailable):
        parse_upload_page(data)


def test_an_error_does_not_repeat_what_was_sent_at_length() -> None:
    for read, data in ((parse_list_page, page(size="9" * 9999)), (parse_upload_page, uploads(begun="9" * 9999))):
        with pytest.raises(StoreUnavailable) as caught:
            read(data)
        assert len(str(caught.value)) < 300


def test_an_odd_error_page_says_nothing() -> None:
    assert parse_error(b'<?xml version="1.0" encoding="gbk"?><html/>') == {}
    assert parse_error(b"<Error><Code>NoSuchBucket</Code></Error>") == {"Code": "NoSuchBucket"}


def session(monkeypatch: pytest.MonkeyPatch, **variables: str) -> AwsSession:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return AwsSession(AwsOptions(region="us-east-1"))


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"])
def test_a_newline_in_a_mounted_secret_is_told_without_the_secret(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with pytest.raises(StoreDenied, match="white space") as caught:
        session(monkeypatch, **{name: "s3cret\n"}).credentials.get_frozen_credentials()
    assert "s3cret" not in str(caught.value)


def test_whatever_the_credential_chain_throws_is_a_denied_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    found = session(monkeypatch, AWS_ROLE_ARN="arn:aws:iam::1:role/x", AWS_WEB_IDENTITY_TOKEN_FILE="/nowhere/token")
    with pytest.raises(StoreDenied, match="cannot be had"):
        found.credentials.get_frozen_credentials()


class Canned:
    """A socket that has an answer ready."""

    def __init__(self, status: str, body: bytes, headers: str) -> None:
        self._data = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body

    def makefile(self, *_: object) -> io.BytesIO:
        return io.BytesIO(self._data)


def refused(
    status: str, code: str = "", headers: str = "", more: str = "", *, of_object: bool = False
) -> ModelSyncError:
    body = f"<Error><Code>{code}</Code>{more}</Error>".encode() if code else b""
    response = http.client.HTTPResponse(Canned(status, body, headers))  # type: ignore[arg-type]
    response.begin()
    return failure(response, what="list the bucket", bucket="models", of_object=of_object)


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (refused("404 Not Found", "NoSuchBucket"), BucketMissing, "bucket 'models' does not exist: check S3_BUCKET"),
        (refused("404 Not Found", "NoSuchKey"), ObjectChanged, "S3 answered 404 NoSuchKey to list the bucket"),
        (refused("412 Precondition Failed"), ObjectChanged, "S3 answered 412 Precondition Failed to list the bucket"),
        (refused("503 Slow Down", "SlowDown"), StoreThrottled, "S3 answered 503 SlowDown to list the bucket"),
        (refused("429 Too Many Requests"), StoreThrottled, "S3 answered 429 Too Many Requests to list the bucket"),
        (refused("500 Oops", "InternalError"), StoreUnavailable, "S3 answered 500 InternalError to list the bucket"),
        (refused("400 Bad Request", "RequestTimeout"), StoreUnavailable, "S3 answered 400 RequestTimeout"),
        (refused("418 Teapot"), StoreUnavailable, "S3 answered 418 Teapot to list the bucket"),
        (refused("407 Proxy"), StoreUnavailable, "the proxy asks for a user name and password"),
        (
            refused("301 Moved", "PermanentRedirect", "x-amz-bucket-region: eu-west-1\r\n"),
            ConfigurationError,
            "bucket 'models' is in region eu-west-1: set AWS_REGION=eu-west-1",
        ),
        (
            refused("400 Bad Request", "AuthorizationHeaderMalformed", more="<Region>eu-west-1</Region>"),
            ConfigurationError,
            "bucket 'models' is in region eu-west-1: set AWS_REGION=eu-west-1",
        ),
        (refused("403 Forbidden", "AccessDenied"), StoreDenied, "give the role s3:GetObject and s3:ListBucket"),
        (refused("403 Forbidden"), StoreDenied, "check credentials, permissions, S3_EXPECTED_BUCKET_OWNER and, if"),
        (refused("403 Forbidden", "SignatureDoesNotMatch"), CredentialsRefused, "the secret key does not fit"),
        (refused("400 Bad Request", "InvalidRequest", more="<Message>no</Message>"), StoreDenied, "does not fit what"),
        (refused("400 Bad Request", "InvalidArgument"), StoreDenied, "InvalidArgument to list the bucket: the request"),
        (refused("400 Bad Request", "InvalidPart"), StoreDenied, "push again"),
        (refused("400 Bad Request", "MissingAuthenticationToken"), StoreDenied, "check credentials, permissions"),
        (refused("400 Bad Request", "ExpiredToken"), CredentialsRefused, "the credentials have ended"),
        (refused("400 "), StoreDenied, "check credentials, permissions"),
        (refused("403 Forbidden", "Odd"), StoreDenied, "check credentials, permissions"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_a_refusal_is_told_by_what_is_to_be_done(error: ModelSyncError, kind: type, sentence: str) -> None:
    assert type(error) is kind
    assert sentence in str(error)


@pytest.mark.parametrize(
    ("code", "of_object", "dependency"),
    [
        ("AccessDenied", True, ""),
        ("AccessDenied", False, "s3"),
        ("KMS.DisabledException", True, ""),
        ("SignatureDoesNotMatch", True, "s3"),
        ("RequestTimeTooSkewed", True, "s3"),
    ],
)
def test_the_refusal_of_one_object_says_nothing_of_the_bucket(code: str, of_object: bool, dependency: str) -> None:  # noqa: FBT001
    error = refused("403 Forbidden", code, of_object=of_object)
    assert isinstance(error, StoreDenied)
    assert error.dependency == dependency


def test_a_profile_that_does_not_exist_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"AWS configuration cannot be read: .*profile \(voices\)"):
        session(monkeypatch, AWS_PROFILE="voices")


def test_what_is_no_region_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match="AWS_REGION is no region's name"):
        AwsSession(AwsOptions(region="eu central"))


def test_a_store_that_lists_objects_instead_of_uploads_does_not_offer_them() -> None:
    with pytest.raises(NotOffered):
        parse_upload_page(uploads(root="ListBucketResult"))

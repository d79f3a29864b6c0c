"""What S3, or something that only looks like it, can answer."""

from __future__ import annotations

import pytest

from modelsync.adapters.aws import AwsOptions, AwsSession
from modelsync.adapters.s3.xml import parse_error, parse_list_page, parse_upload_page
from modelsync.core.objects import Upload
from modelsync.errors import StoreDenied, StoreUnavailable

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
        uploads(root="ListBucketResult"),
        uploads(begun="yesterday"),
        uploads().replace(b"<Key>a+b%41</Key>", b""),
        uploads("<IsTruncated>true</IsTruncated>"),
        uploads("<IsTruncated>true</IsTruncated><NextKeyMarker/>"),
    ],
)
def test_what_is_no_complete_list_of_uploads_is_an_error_that_is_tried_again(data: bytes) -> None:
    with pytest.raises(StoreUnavailable):
        parse_upload_page(data)


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
        session(monkeypatch, **{name: "s3cret\n"}).credentials()
    assert "s3cret" not in str(caught.value)


def test_whatever_the_credential_chain_throws_is_a_denied_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    found = session(monkeypatch, AWS_ROLE_ARN="arn:aws:iam::1:role/x", AWS_WEB_IDENTITY_TOKEN_FILE="/nowhere/token")
    with pytest.raises(StoreDenied, match="cannot be had"):
        found.credentials()

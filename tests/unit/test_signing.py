"""Our signatures against botocore's."""

from __future__ import annotations

from datetime import UTC, datetime
from unittest import mock

import pytest
from botocore import auth
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given, settings
from hypothesis import strategies as st

from modelsync.adapters.s3.endpoint import Endpoint
from modelsync.adapters.s3.signing import signed

AT = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
ENDPOINT = Endpoint("http", "s3.example.com", 9000, "/models")
KEYS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40).filter(
    lambda key: not {".", ".."} & set(key.split("/"))  # botocore's own signer folds these; S3 does not
)


def botocores(target: str, headers: dict[str, str], credentials: ReadOnlyCredentials) -> str:
    request = AWSRequest("GET", f"http://s3.example.com:9000{target}", headers=headers)
    with mock.patch.object(auth, "get_current_datetime", return_value=AT.replace(tzinfo=None)):
        S3SigV4Auth(credentials, "s3", "eu-central-1").add_auth(request)
    return str(request.headers["Authorization"])


@pytest.mark.parametrize("token", [None, "a session/token+="])
@given(key=KEYS, version=st.none() | st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1))
@settings(max_examples=60, deadline=None)
def test_requests_are_signed_as_botocore_signs_them(token: str | None, key: str, version: str | None) -> None:
    credentials = ReadOnlyCredentials("AKID", "secret", token)
    headers = {"Host": "s3.example.com:9000", "User-Agent": "x", "If-Match": '"e  tag"', "Range": "bytes=0-1"}
    target = ENDPOINT.target(key, {"versionId": version} if version else {})
    ours = signed("GET", target, headers, credentials=credentials, region="eu-central-1", at=AT.timestamp())
    assert ours["Authorization"] == botocores(target, headers, credentials)
    assert ours["x-amz-date"] == "20260504T030201Z"
    assert ours.get("x-amz-security-token") == token

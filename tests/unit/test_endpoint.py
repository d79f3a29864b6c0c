"""Where a bucket is."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest
from botocore.config import Config

from modelsync.adapters.aws import AwsOptions, AwsSession
from modelsync.adapters.s3.endpoint import Endpoint, bucket_endpoint
from modelsync.errors import ConfigurationError


def on_aws(bucket: str, region: str) -> Endpoint:
    session = AwsSession(AwsOptions(region=region))
    return bucket_endpoint(bucket, endpoint_url=None, aws_host=session.s3_host)


@pytest.mark.parametrize(
    ("bucket", "region", "address"),
    [
        ("models", "eu-central-1", "https://models.s3.eu-central-1.amazonaws.com/k"),
        ("models", "us-east-1", "https://models.s3.us-east-1.amazonaws.com/k"),
        ("models", "cn-north-1", "https://models.s3.cn-north-1.amazonaws.com.cn/k"),
        ("my.models", "eu-central-1", "https://s3.eu-central-1.amazonaws.com/my.models/k"),
        ("models", "eu-newtown-1", "https://models.s3.eu-newtown-1.amazonaws.com/k"),
    ],
)
def test_a_bucket_on_aws_is_addressed_by_its_host(bucket: str, region: str, address: str) -> None:
    endpoint = on_aws(bucket, region)
    assert f"{endpoint.scheme}://{endpoint.netloc}{endpoint.target('k', {})}" == address


class Caught(Exception):
    """Carries the address of a request that was about to be sent."""


def asked_by_botocore(bucket: str, region: str) -> str:
    def catch(request: Any, **_: object) -> None:
        raise Caught(request.url)

    # Amazon wants all requests by region; botocore still sends those of its first one elsewhere.
    config = Config(s3={"us_east_1_regional_endpoint": "regional"})
    client = botocore.session.get_session().create_client("s3", region_name=region, config=config)
    client.meta.events.register("before-send.s3", catch)
    with pytest.raises(Caught) as caught:
        client.get_object(Bucket=bucket, Key="k")
    return str(caught.value)


@pytest.mark.parametrize("bucket", ["models", "my.models"])
@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "us-gov-west-1"])
@pytest.mark.parametrize("fips", ["true", "false"])
@pytest.mark.parametrize("dualstack", ["true", "false"])
def test_hosts_are_those_of_botocores_own_rules(
    monkeypatch: pytest.MonkeyPatch, bucket: str, region: str, fips: str, dualstack: str
) -> None:
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", fips)
    monkeypatch.setenv("AWS_USE_DUALSTACK_ENDPOINT", dualstack)
    endpoint = on_aws(bucket, region)
    assert f"https://{endpoint.netloc}{endpoint.target('k', {})}" == asked_by_botocore(bucket, region)


def test_a_region_that_aws_cannot_have_is_told() -> None:
    with pytest.raises(ConfigurationError, match="AWS_REGION=narnia"):
        on_aws("models", "narnia")


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000/models/a%20b/%C3%A4"),
        ("https://minio.example.com/base/", "https://minio.example.com/base/models/a%20b/%C3%A4"),
        ("http://[::1]:9000", "http://[::1]:9000/models/a%20b/%C3%A4"),
    ],
)
def test_an_endpoint_of_ones_own_is_addressed_by_path(url: str, address: str) -> None:
    endpoint = bucket_endpoint("models", endpoint_url=url, aws_host=lambda: "")
    assert f"{endpoint.scheme}://{endpoint.netloc}{endpoint.target('a b/ä', {})}" == address


def test_a_query_is_sorted_and_encoded_as_signatures_demand() -> None:
    endpoint = Endpoint("http", "h", None)
    assert endpoint.target(None, {"prefix": "a/b c", "list-type": "2"}) == "/?list-type=2&prefix=a%2Fb%20c"


def test_a_missing_region_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(ConfigurationError, match="AWS_REGION is not set"):
        AwsSession(AwsOptions())
    assert AwsSession(AwsOptions(s3_endpoint_url="http://h")).region == "us-east-1"

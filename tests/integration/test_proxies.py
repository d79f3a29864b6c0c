"""Between this process and AWS: forward proxies and certificate authorities, by the variables that users set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.authority import Authority
from fakes.cloud import REGION, SigningS3, SigningSqs
from fakes.forward_proxy import ForwardProxy
from fakes.identity import Sts
from modelsync.adapters.aws import AwsOptions, AwsSession
from modelsync.adapters.s3 import S3Store
from modelsync.adapters.sqs import SqsOptions, SqsQueue, sqs_client
from modelsync.errors import ConfigurationError, ModelSyncError, QueueUnavailable, StoreDenied, StoreUnavailable
from support.signed import BUCKET, Pod, read

S3_URL = "http://s3.internal:9000"
SQS_URL = "http://sqs.internal"
VIRTUAL = f"{BUCKET}.s3.{REGION}.amazonaws.com"
USER = "worker:p@ss/w%rd"
IN_URL = "worker:p%40ss%2Fw%25rd"


@pytest.fixture(autouse=True)
def _static_keys(pod: Pod) -> None:
    pod.static_keys()


@pytest.fixture
def sqs(pod: Pod) -> Iterator[SigningSqs]:
    with SigningSqs(pod.keys) as server:
        yield server


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def store(pod: Pod, url: str | None = S3_URL) -> S3Store:
    return pod.store(pod.session(s3_url=url, on_aws=url is None))


def queue(url: str | None = SQS_URL) -> SqsQueue:
    session = AwsSession(AwsOptions(REGION, None, url))
    return SqsQueue(SqsOptions("models", f"{url}/123456789012/models"), sqs_client(session))


# Proxies


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_http_goes_through_the_proxy_by_its_whole_address(pod: Pod, variable: str, scheme: str) -> None:
    with ForwardProxy({"s3.internal:9000": pod.s3.port}) as proxy:
        pod.set(**{variable: f"{scheme}{proxy.address}"})
        asking = store(pod)
        assert read(asking, asking.list("alice/").objects[0]) == b"weights"
        assert [asked.target for asked in proxy.asked] == [
            f"{S3_URL}/models/?encoding-type=url&list-type=2&prefix=alice%2F",
            f"{S3_URL}/models/alice/model.onnx",
        ]
    assert {request.headers["host"] for request in pod.s3.seen} == {"s3.internal:9000"}


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy"])
def test_https_goes_through_a_tunnel(pod: Pod, authority: Authority, variable: str) -> None:
    with (
        SigningS3(BUCKET, pod.keys, tls=authority.server(VIRTUAL)) as s3,
        ForwardProxy({VIRTUAL: s3.port}, user=USER) as proxy,
    ):
        s3.put("a", b"content")
        pod.set(**{variable: f"http://{IN_URL}@{proxy.address}", "AWS_CA_BUNDLE": authority.file})
        asking = store(pod, None)
        assert read(asking, asking.list("").objects[0]) == b"content"
        assert [(asked.method, asked.target) for asked in proxy.asked] == [("CONNECT", f"{VIRTUAL}:443")]
        assert all("proxy-authorization" not in request.headers for request in s3.seen), "that is for the proxy alone"


def test_a_queue_goes_through_the_proxy_too(pod: Pod, sqs: SigningSqs, authority: Authority) -> None:
    host = f"sqs.{REGION}.amazonaws.com"
    with (
        SigningSqs(pod.keys, tls=authority.server(host)) as encrypted,
        ForwardProxy({"sqs.internal": sqs.port, host: encrypted.port}, user=USER) as proxy,
    ):
        address = f"http://{IN_URL}@{proxy.address}"
        pod.set(HTTP_PROXY=address, HTTPS_PROXY=address, SSL_CERT_FILE=authority.file)
        queue().check()
        queue(None).check()
        assert {asked.target for asked in proxy.asked} == {f"{SQS_URL}/", f"{host}:443"}


@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize("value", ["127.0.0.1", "*", "example.com, 127.0.0.1"])
def test_no_proxy_is_heeded(pod: Pod, sqs: SigningSqs, variable: str, value: str) -> None:
    with ForwardProxy({}) as proxy:
        pod.set(**{"HTTP_PROXY": f"http://{proxy.address}", variable: value})
        store(pod, pod.s3.url).check()
        queue(sqs.url).check()
        assert proxy.asked == []


def test_no_proxy_knows_a_bucket_by_the_end_of_its_host(pod: Pod) -> None:
    pod.set(HTTPS_PROXY="http://127.0.0.1:9", NO_PROXY=f"s3.{REGION}.amazonaws.com")
    with pytest.raises(StoreUnavailable, match=rf"\({VIRTUAL.replace('.', '[.]')}\)"):
        store(pod, None).check()


@pytest.mark.parametrize("user", ["", "worker:wrong@"])
def test_a_proxy_that_wants_to_know_who_asks_is_told_of(pod: Pod, user: str) -> None:
    with ForwardProxy({"s3.internal:9000": pod.s3.port, "sqs.internal": 1}, user=USER) as proxy:
        pod.set(HTTP_PROXY=f"http://{user}{proxy.address}", HTTPS_PROXY=f"http://{user}{proxy.address}")
        for ask in (
            store(pod).check,
            store(pod, None).check,
            queue().check,
            queue("https://sqs.internal").check,
        ):
            with pytest.raises(ModelSyncError, match="the proxy asks for a user name and password: write") as caught:
                ask()
            assert "wrong" not in str(caught.value)


def test_a_proxy_that_forbids_a_host_is_told_of(pod: Pod) -> None:
    with ForwardProxy({}) as proxy:
        pod.set(HTTPS_PROXY=f"http://{proxy.address}")
        with pytest.raises(StoreUnavailable, match=r"the proxy refuses to connect \(403\): allow the host there"):
            store(pod, None).check()


def test_a_proxy_that_is_gone_is_told_of_without_its_password(pod: Pod) -> None:
    # The password is one that stands in the address elsewhere too, where a replacement would miss it.
    pod.set(HTTP_PROXY="http://http:http@127.0.0.1:9", HTTPS_PROXY="http://user:s3cret@127.0.0.1:9")
    sentences = []
    for ask in (store(pod).check, store(pod, None).check, queue().check, queue("https://sqs.internal").check):
        with pytest.raises(ModelSyncError) as caught:
            ask()
        sentences.append(str(caught.value))
    assert all("through the proxy 127.0.0.1:9" in sentence for sentence in sentences[:2])
    assert all("check HTTP_PROXY and HTTPS_PROXY" in sentence for sentence in sentences[2:])
    assert not any("s3cret" in sentence or "http:http" in sentence for sentence in sentences)


@pytest.mark.parametrize("value", ["https://u:s3cret@proxy:1", "socks5://proxy:1", "http://:1", "http://u:s3cret@p:x"])
def test_what_is_no_proxy_stops_the_start_without_its_password(pod: Pod, value: str) -> None:
    pod.set(HTTP_PROXY=value)
    with pytest.raises(
        ConfigurationError, match="HTTP_PROXY is no address of a proxy: write http://host:port"
    ) as caught:
        store(pod)
    assert "s3cret" not in str(caught.value)


def test_a_password_in_an_endpoint_is_not_told(pod: Pod) -> None:
    url = "http://user:s3cret@127.0.0.1:9"
    for ask in (store(pod, url).check, queue(url).check):
        with pytest.raises(ModelSyncError) as caught:
            ask()
        assert "127.0.0.1:9" in str(caught.value)
        assert "s3cret" not in str(caught.value)


# Certificate authorities


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_private_authority_is_trusted_by_s3_sqs_and_sts(
    pod: Pod, authority: Authority, tmp_path: Path, variable: str
) -> None:
    tls = authority.server("127.0.0.1")
    with (
        SigningS3(BUCKET, pod.keys, tls=tls) as s3,
        SigningSqs(pod.keys, tls=tls) as sqs,
        Sts(pod.keys, tls=tls) as sts,
    ):
        pod.set(**{variable: authority.file})
        pod.web_identity(sts, tmp_path / "token")
        store(pod, s3.url).check()
        queue(sqs.url).check()
        assert [request.access_key for request in (*s3.seen, *sqs.seen)] == [key.id for key in pod.keys.issued]


def test_an_authority_in_the_profile_is_trusted(pod: Pod, authority: Authority, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(f"[default]\nca_bundle = {authority.file}\n")
    pod.set(AWS_CONFIG_FILE=str(config))
    with SigningS3(BUCKET, pod.keys, tls=authority.server("127.0.0.1")) as s3:
        store(pod, s3.url).check()


@pytest.mark.parametrize("trusted", ["another", "none"])
def test_a_server_of_an_unknown_authority_is_told_of_with_what_to_set(
    pod: Pod, authority: Authority, tmp_path: Path, trusted: str
) -> None:
    if trusted == "another":
        pod.set(AWS_CA_BUNDLE=Authority(tmp_path, "other").file)
    tls = authority.server("127.0.0.1")
    sentence = r"certificate is not to be trusted \(.*\): set AWS_CA_BUNDLE or SSL_CERT_FILE to a file with the CA"
    with (
        SigningS3(BUCKET, pod.keys, tls=tls) as s3,
        SigningSqs(pod.keys, tls=tls) as sqs,
        Sts(pod.keys, tls=tls) as sts,
    ):
        with pytest.raises(StoreUnavailable, match=sentence):
            store(pod, s3.url).check()
        with pytest.raises(QueueUnavailable, match=sentence):
            queue(sqs.url).check()
        pod.web_identity(sts, tmp_path / "token")
        with pytest.raises(StoreDenied, match=f"AWS credentials cannot be had: .*{sentence}"):
            store(pod, s3.url).check()


def test_a_certificate_for_another_host_needs_no_authority(pod: Pod, authority: Authority) -> None:
    pod.set(AWS_CA_BUNDLE=authority.file)
    with (
        SigningS3(BUCKET, pod.keys, tls=authority.server("s3.internal")) as s3,
        pytest.raises(StoreUnavailable, match=r"not valid for '127\.0\.0\.1'.*: check the endpoint's address"),
    ):
        store(pod, s3.url).check()


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "SSL_CERT_FILE"])
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_without_authorities_stops_the_start(
    pod: Pod, tmp_path: Path, variable: str, content: str | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    pod.set(**{variable: str(path)})
    with pytest.raises(ConfigurationError, match=f"{variable}={path} cannot be read"):
        store(pod, pod.s3.url)

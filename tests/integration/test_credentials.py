"""Every way in which a pod gets credentials, from its source to a request whose signature S3 accepts."""

from __future__ import annotations

import configparser
import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fakes.cloud import REGION, SigningSqs
from fakes.identity import ContainerAgent, InstanceMetadata, Sts, sts_error
from fakes.loopback import Answer
from fakes.sigv4 import Key
from modelsync.adapters import credential_process
from modelsync.adapters.sqs import SqsOptions, SqsQueue, sqs_client
from modelsync.core.facts import Outcome, RequestRetried
from modelsync.core.parts import MIB
from modelsync.errors import CredentialsRefused, QueueUnavailable, StoreDenied
from support.signed import KEY, ROLE, Pod, read
from support.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    (tmp_path / "models").mkdir()
    made = World(tmp_path / "models", concurrency=1)
    yield made
    made.fetcher.close()


def write_ini(path: Path, **sections: dict[str, str]) -> str:
    parser = configparser.ConfigParser()
    parser.read_dict({name.replace("_", " "): values for name, values in sections.items()})
    with path.open("w") as file:
        parser.write(file)
    return str(path)


def as_ini(key: Key) -> dict[str, str]:
    return {"aws_access_key_id": key.id, "aws_secret_access_key": key.secret}


# Where they come from


@pytest.mark.parametrize("token", [None, "session/token+=="])
def test_static_keys(pod: Pod, token: str | None) -> None:
    key = Key("AKIA1", "secret/1+", token)
    pod.keys.add(key)
    pod.set(
        AWS_ACCESS_KEY_ID=key.id, AWS_SECRET_ACCESS_KEY=key.secret, **({"AWS_SESSION_TOKEN": token} if token else {})
    )
    store = pod.store()
    assert read(store, store.list("").objects[0]) == b"weights"
    assert {request.headers.get("x-amz-security-token") for request in pod.s3.seen} == {token}


def test_a_profile_in_the_shared_credentials_file(pod: Pod, tmp_path: Path) -> None:
    pod.keys.add(KEY)
    path = write_ini(tmp_path / "credentials", default=as_ini(Key("AKIAOTHER", "x")), voices=as_ini(KEY))
    pod.set(AWS_SHARED_CREDENTIALS_FILE=path, AWS_PROFILE="voices")
    pod.store().check()
    assert pod.signed_by() == [KEY.id]


@pytest.mark.parametrize("region", [{}, {"region": REGION}], ids=["AWS_REGION", "the profile's region"])
def test_a_profile_that_assumes_a_role_with_the_keys_of_another(
    pod: Pod, tmp_path: Path, region: dict[str, str]
) -> None:
    pod.keys.add(KEY)
    if region:
        pod.environment.delenv("AWS_REGION")
    config = write_ini(tmp_path / "config", profile_voices={"role_arn": ROLE, "source_profile": "base", **region})
    with Sts(pod.keys) as sts:
        pod.set(
            AWS_CONFIG_FILE=config,
            AWS_SHARED_CREDENTIALS_FILE=write_ini(tmp_path / "credentials", base=as_ini(KEY)),
            AWS_PROFILE="voices",
            AWS_ENDPOINT_URL_STS=sts.url,
        )
        pod.store().check()
        assert sts.asked[0]["RoleArn"] == ROLE
        assert sts.seen[0].access_key == KEY.id
    assert pod.signed_by() == [pod.keys.issued[0].id]


def test_irsa_reads_its_token_again_at_each_refresh(pod: Pod, tmp_path: Path) -> None:
    token = tmp_path / "token"
    with Sts(pod.keys, lifetime_seconds=60) as sts:
        pod.web_identity(sts, token)
        store = pod.store(pod.session(ask_seconds=0))
        store.check()
        token.write_text("eyJ.second")
        store.check()
        assert [form["WebIdentityToken"] for form in sts.asked] == ["eyJ.first", "eyJ.second"]
        assert sts.asked[0]["RoleArn"] == ROLE
    assert pod.signed_by() == [key.id for key in pod.keys.issued]


def container(pod: Pod, agent: ContainerAgent, token: Path) -> None:
    token.write_text("first")
    pod.set(AWS_CONTAINER_CREDENTIALS_FULL_URI=agent.full_uri, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=str(token))


def test_eks_pod_identity_reads_its_token_again_at_each_refresh(pod: Pod, tmp_path: Path) -> None:
    token = tmp_path / "token"
    with ContainerAgent(pod.keys, lifetime_seconds=60) as agent:
        container(pod, agent, token)
        store = pod.store(pod.session(ask_seconds=0))
        store.check()
        token.write_text("second")
        store.check()
        assert agent.tokens[0] == "first"
        assert agent.tokens[-1] == "second"
    assert pod.signed_by()[-1] == pod.keys.issued[-1].id


def test_instance_metadata(pod: Pod) -> None:
    pod.environment.delenv("AWS_EC2_METADATA_DISABLED")
    with InstanceMetadata(pod.keys) as metadata:
        pod.set(AWS_EC2_METADATA_SERVICE_ENDPOINT=metadata.url)
        pod.store().check()
        assert [request.method for request in metadata.seen] == ["PUT", "GET", "GET"]
    assert pod.signed_by() == [pod.keys.issued[0].id]


ANSWER = json.dumps({"Version": 1, "AccessKeyId": KEY.id, "SecretAccessKey": KEY.secret})
AS_SOURCE = {"role_arn": ROLE, "source_profile": "base", "region": REGION}


def process(pod: Pod, tmp_path: Path, script: str, *, as_source: bool) -> None:
    """Let a program print the keys, or the keys that a role is assumed with."""
    (tmp_path / "program").write_text(script)
    runs = {"credential_process": f"sh {tmp_path / 'program'}"}
    profiles = {"profile_base": runs, "profile_voices": AS_SOURCE if as_source else runs}
    pod.set(AWS_CONFIG_FILE=write_ini(tmp_path / "config", **profiles), AWS_PROFILE="voices")


@pytest.mark.parametrize("as_source", [False, True], ids=["itself", "for a role"])
def test_a_program_that_prints_keys(pod: Pod, tmp_path: Path, as_source: bool) -> None:  # noqa: FBT001
    pod.keys.add(KEY)
    process(pod, tmp_path, f"echo '{ANSWER}'", as_source=as_source)
    with Sts(pod.keys) as sts:
        pod.set(AWS_ENDPOINT_URL_STS=sts.url)
        pod.store().check()
        assert [request.access_key for request in sts.seen] == [KEY.id] * as_source
    assert pod.signed_by() == [pod.keys.issued[0].id if as_source else KEY.id]


@pytest.mark.parametrize("as_source", [False, True], ids=["itself", "for a role"])
def test_a_program_that_hangs_is_ended_with_all_that_it_started(
    pod: Pod,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    as_source: bool,  # noqa: FBT001
) -> None:
    monkeypatch.setattr(credential_process, "SECONDS", 0.5)
    sign_of_life = tmp_path / "fifo"
    os.mkfifo(sign_of_life)
    process(pod, tmp_path, f"exec 3<>{sign_of_life}\nsleep 1000\n", as_source=as_source)
    reader = os.open(sign_of_life, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(StoreDenied, match=r"cannot be had: credential_process gave no answer within .* and was ended"):
        pod.store().check()
    os.set_blocking(reader, True)
    assert os.read(reader, 1) == b"", "nobody holds the other end any more"
    os.close(reader)


# While they last, and when they end


def test_a_long_download_goes_on_with_new_credentials(pod: Pod, world: World, tmp_path: Path) -> None:
    content = b"0123456789abcdef" * (4 * MIB)
    pod.s3.put("alice/model.onnx", content)

    def end_older_keys(_: object) -> None:
        for key in pod.keys.issued[:-1]:
            pod.keys.add(replace(key, ends_at=0))

    pod.s3.before_answer = end_older_keys
    with Sts(pod.keys, lifetime_seconds=60) as sts:
        pod.web_identity(sts, tmp_path / "token")
        world.store._store = pod.store(pod.session(ask_seconds=0))
        result = world.sync("alice")
    assert result.outcome is Outcome.SUCCESS, result.reason
    assert world.read("alice")["model.onnx"] == content
    used = [request.access_key for request in pod.s3.gets()]
    assert len(used) == len(set(used)) == 4
    assert world.told(RequestRetried) == [], "no request met a key that had ended"


def test_a_crowd_of_threads_asks_once(pod: Pod, tmp_path: Path) -> None:
    # Within 15 minutes of the end botocore would ask at each use.
    with Sts(pod.keys, lifetime_seconds=300) as sts:
        pod.web_identity(sts, tmp_path / "token")
        credentials = pod.session(ask_seconds=60).credentials
        threads = [threading.Thread(target=credentials.get_frozen_credentials) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(sts.asked) == 1


def test_valid_credentials_outlast_their_source(pod: Pod, tmp_path: Path) -> None:
    # botocore would fail from 10 minutes before the end.
    with Sts(pod.keys, lifetime_seconds=300) as sts:
        pod.web_identity(sts, tmp_path / "token")
        store = pod.store(pod.session(ask_seconds=0))
        store.check()
        sts.broken = sts_error("AccessDenied")
        store.check()
        assert len(sts.seen) == 2
    assert set(pod.signed_by()) == {pod.keys.issued[0].id}


def test_a_source_that_comes_late_is_found(pod: Pod, tmp_path: Path) -> None:
    with Sts(pod.keys) as sts:
        pod.web_identity(sts, tmp_path / "token")
        sts.broken = sts_error("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
        store = pod.store(pod.session(ask_seconds=0))
        with pytest.raises(StoreDenied, match="Not authorized to perform sts:AssumeRoleWithWebIdentity: check the pod"):
            store.check()
        sts.broken = None
        store.check()
    assert pod.signed_by() == [pod.keys.issued[0].id]


LATER = "2036-01-01T00:00:00Z"
NO_CREDENTIALS = [
    {"code": "AccessDeniedException", "message": "no association"},
    {"AccessKeyId": "", "SecretAccessKey": "", "Token": "", "Expiration": LATER},
    {"AccessKeyId": None, "SecretAccessKey": None, "Token": None, "Expiration": LATER},
    {"AccessKeyId": ["a"], "SecretAccessKey": "s", "Token": "t", "Expiration": LATER},
    {"AccessKeyId": "a", "SecretAccessKey": "s", "Token": 3, "Expiration": LATER},
    {"AccessKeyId": "a", "SecretAccessKey": "s\n", "Token": "t", "Expiration": LATER},
    {"AccessKeyId": "a", "SecretAccessKey": "s", "Token": "t", "Expiration": "soon"},
    {"AccessKeyId": "a", "SecretAccessKey": "s", "Token": "t", "Expiration": "2016-01-01T00:00:00Z"},
    [],
    "denied",
]


@pytest.mark.parametrize("body", NO_CREDENTIALS, ids=str)
def test_an_error_never_becomes_credentials(pod: Pod, tmp_path: Path, body: object) -> None:
    with ContainerAgent(pod.keys) as agent:
        container(pod, agent, tmp_path / "token")
        store = pod.store(pod.session(ask_seconds=0))
        agent.broken = Answer(200, json.dumps(body).encode())
        with pytest.raises(StoreDenied) as caught:
            store.check()
        assert "\n" not in str(caught.value)
        assert pod.s3.seen == []
        agent.broken = None
        store.check()
    assert pod.signed_by() == [pod.keys.issued[0].id]


@pytest.mark.parametrize("body", NO_CREDENTIALS[:3], ids=str)
def test_an_error_at_a_refresh_never_becomes_credentials_either(pod: Pod, tmp_path: Path, body: object) -> None:
    with ContainerAgent(pod.keys, lifetime_seconds=1) as agent:
        container(pod, agent, tmp_path / "token")
        credentials = pod.session(ask_seconds=0).credentials
        first = credentials.get_frozen_credentials().access_key
        agent.broken = Answer(200, json.dumps(body).encode())
        used = []

        def use_up() -> None:
            while True:  # until those have ended
                used.append(credentials.get_frozen_credentials().access_key)

        with pytest.raises(StoreDenied, match="AWS credentials cannot be had"):
            use_up()
        assert set(used) <= {key.id for key in pod.keys.issued}
        agent.broken, agent.lifetime_seconds = None, 3600
        assert credentials.get_frozen_credentials().access_key == pod.keys.issued[-1].id != first


def test_an_agent_that_fails_is_told_in_one_line(pod: Pod, tmp_path: Path) -> None:
    with ContainerAgent(pod.keys) as agent:
        container(pod, agent, tmp_path / "token")
        agent.broken = Answer(500, b"<html>\n" + b"x" * 100_000 + b"</html>")
        with pytest.raises(
            StoreDenied, match=r"AWS credentials cannot be had: .*500.*: check the pod's role"
        ) as caught:
            pod.store().check()
        assert len(str(caught.value)) < 500


# After a refusal


def test_keys_that_were_changed_in_a_mounted_file_are_read_again(pod: Pod, tmp_path: Path) -> None:
    old, new = Key("AKIAOLD", "old"), Key("AKIANEW", "new")
    pod.keys.add(old)
    pod.set(AWS_SHARED_CREDENTIALS_FILE=write_ini(tmp_path / "credentials", default=as_ini(old)))
    store = pod.store(pod.session(ask_seconds=0))
    store.check()
    pod.keys.remove(old)
    pod.keys.add(new)
    with pytest.raises(CredentialsRefused, match="the access key does not exist"):
        store.check()
    write_ini(tmp_path / "credentials", default=as_ini(new))
    store.check()
    assert pod.signed_by() == [old.id, old.id, new.id]


def test_a_session_that_ended_early_is_replaced(pod: Pod, tmp_path: Path) -> None:
    with Sts(pod.keys) as sts:
        pod.web_identity(sts, tmp_path / "token")
        store = pod.store(pod.session(ask_seconds=0))
        store.check()
        revoked = pod.keys.issued[0]
        pod.keys.add(Key(revoked.id, revoked.secret, revoked.token, ends_at=0))
        with pytest.raises(CredentialsRefused, match="ExpiredToken"):
            store.check()
        store.check()
    assert pod.signed_by()[-1] == pod.keys.issued[1].id


def test_why_a_head_is_refused_is_told_too(pod: Pod) -> None:
    pod.static_keys()
    store = pod.store()
    remote = store.list("").objects[0]
    pod.keys.add(Key(KEY.id, KEY.secret, ends_at=0))
    asks: list[Callable[[], object]] = [
        lambda: store.head(remote),
        lambda: store.part_size(remote, 1, 2),
    ]
    for ask in asks:
        with pytest.raises(CredentialsRefused, match=r"ExpiredToken .*the credentials have ended"):
            ask()


# The same for queues


@pytest.fixture
def sqs(pod: Pod) -> SigningSqs:
    with SigningSqs(pod.keys) as server:
        yield server


def queue(pod: Pod, sqs: SigningSqs) -> SqsQueue:
    session = pod.session(ask_seconds=0, sqs_url=sqs.url)
    return SqsQueue(SqsOptions("models", sqs.queue_url), sqs_client(session))


def test_a_queue_is_asked_with_the_same_credentials(pod: Pod, sqs: SigningSqs, tmp_path: Path) -> None:
    with Sts(pod.keys) as sts:
        pod.web_identity(sts, tmp_path / "token")
        session = pod.session(sqs_url=sqs.url)
        pod.store(session).check()
        asked = SqsQueue(SqsOptions("models", sqs.queue_url), sqs_client(session))
        asked.check()
        assert list(asked.receive(1)) == []
        assert len(sts.asked) == 1
    assert {request.access_key for request in sqs.seen} == set(pod.signed_by())


def test_a_queue_recovers_when_credentials_come_late(pod: Pod, sqs: SigningSqs, tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    pod.set(AWS_SHARED_CREDENTIALS_FILE=str(path))
    asked = queue(pod, sqs)
    with pytest.raises(QueueUnavailable, match="no AWS credentials found: give the pod a role"):
        asked.receive(1)
    assert sqs.seen == []
    pod.keys.add(KEY)
    write_ini(path, default=as_ini(KEY))
    asked.receive(1)


def test_an_agent_that_is_down_at_start_keeps_no_queue_from_being_set_up(
    pod: Pod, sqs: SigningSqs, tmp_path: Path
) -> None:
    with ContainerAgent(pod.keys) as agent:
        container(pod, agent, tmp_path / "token")
        agent.broken = Answer(200, b"{}")
        asked = queue(pod, sqs)
        with pytest.raises(QueueUnavailable, match="AWS credentials cannot be had"):
            asked.check()
        agent.broken = None
        asked.check()


def test_a_queue_that_refuses_the_key_gets_the_new_one(pod: Pod, sqs: SigningSqs, tmp_path: Path) -> None:
    old, new = Key("AKIAOLD", "old"), Key("AKIANEW", "new")
    pod.set(AWS_SHARED_CREDENTIALS_FILE=write_ini(tmp_path / "credentials", default=as_ini(old)))
    pod.keys.add(new)
    asked = queue(pod, sqs)
    with pytest.raises(QueueUnavailable, match="InvalidClientTokenId: the credentials are not valid"):
        asked.check()
    write_ini(tmp_path / "credentials", default=as_ini(new))
    asked.check()
    assert [request.access_key for request in sqs.seen] == [old.id, new.id]

"""The environment, read and checked, with everything that is wrong told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelsync.config import Settings, load
from modelsync.config.load import effective
from modelsync.config.options import command, gate, logs, naming, s3, webhooks
from modelsync.errors import ConfigurationError

BASE = {"S3_BUCKET_NAME": "models"}


def test_the_bucket_alone_is_enough() -> None:
    configuration = load(BASE)
    assert configuration.settings.models_base_path == Path("/models")
    assert configuration.settings.settle_seconds == 2
    assert configuration.queues == {}


def test_everything_wrong_is_told_at_once_and_in_order() -> None:
    environment = {
        "MODELSYNC_SYNC_WORKER": "3",
        "SQS_X_QUEUE_URL": "queue",
        "SYNC_WORKERS": "0",
        "HTTP_PORT": "http",
        "GATE_PICKLE": "maybe",
        "GATE_PICKLE_ALLOW": "voices.Config, os.system",
        "GATE_MAX_FILES": "0",
        "GATE_SIGNATURE": "require",
        "KUBERNETES_NOTIFY": "always",
        "S3_PREFIX": "/voices",
        "MODEL_FILE_EXTENSIONS": "onnx",
        "MODEL_COMMIT_FILE": "a/b",
        "AWS_ENDPOINT_URL": "localhost:4566",
        "LOG_FORMAT": "xml",
        "S3_REQUEST_PAYER": "owner",
        "SCRUB_BYTES_PER_SECOND": "10",
        "NOTIFY_WEBHOOK_SECRET": "whsec_not base64: hidden",
        "NOTIFY_EXEC": "sh -c 'no end",
        "PUBLISH_HOOK": " ",
    }
    with pytest.raises(ConfigurationError) as caught:
        load(environment)
    problems = "\n".join(caught.value.problems)
    for told in (
        "S3_BUCKET_NAME is not set",
        "MODELSYNC_SYNC_WORKER is no variable of modelsync: did you mean SYNC_WORKERS?",
        "SQS_X_QUEUE_URL: must be a queue's http(s) address",
        "SYNC_WORKERS: Input should be greater",
        "HTTP_PORT: Input should be a valid integer",
        "GATE_PICKLE: must be one of allow, scan, refuse",
        "GATE_PICKLE_ALLOW: 'os.system' cannot be allowed",
        "GATE_MAX_FILES: Input should be greater",
        "KUBERNETES_NOTIFY: must be one of off, annotate, restart",
        "S3_PREFIX: a prefix starts without '/'",
        "MODEL_FILE_EXTENSIONS: 'onnx' is no file extension",
        "MODEL_COMMIT_FILE: must be a plain file name",
        "AWS_ENDPOINT_URL: must be an http(s) address",
        "LOG_FORMAT: must be one of json, console",
        "S3_REQUEST_PAYER: must be one of requester",
        "SCRUB_BYTES_PER_SECOND: must be 0 (off) or at least 65536",
        "NOTIFY_WEBHOOK_SECRET: what follows whsec_ must be base64",
        "NOTIFY_EXEC: is no command line: No closing quotation",
        "PUBLISH_HOOK: names no command",
    ):
        assert told in problems
    assert "hidden" not in problems


def test_a_secret_is_never_told() -> None:
    environment = BASE | {
        "API_TOKEN": "s3cret-token",
        "SIGN_KEY_PASSWORD": "s3cret-password",
        "NOTIFY_WEBHOOK_SECRET": "s3cret-hmac",
        "NOTIFY_WEBHOOK_URLS": "https://user:s3cret@hooks.example.com/services/s3cret?token=s3cret",
        "AWS_ENDPOINT_URL": "http://user:s3cret@127.0.0.1:4566",
        "SQS_A_QUEUE_URL": "https://user:s3cret@sqs.example.com/1/q",
    }
    configuration = load(environment)
    told = repr(effective(configuration)) + repr(configuration.settings.api_token)
    assert "s3cret" not in told
    assert "https://hooks.example.com/…" in told
    assert "http://127.0.0.1:4566" in told


def test_a_secret_is_not_told_in_an_error_either() -> None:
    environment = BASE | {"API_TOKEN": "s3cret", "NOTIFY_WEBHOOK_URLS": "ftp://s3cret", "AWS_ENDPOINT_URL": "s3cret"}
    with pytest.raises(ConfigurationError) as caught:
        load(environment)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(("value", "payer"), [("", None), ("requester", "requester"), (" Requester", "requester")])
def test_the_requester_pays_only_if_asked_to(value: str, payer: str | None) -> None:
    assert s3(load(BASE | {"S3_REQUEST_PAYER": value}).settings).request_payer == payer
    assert s3(load(BASE).settings).request_payer is None


@pytest.mark.parametrize("prefix", ["voices", "voices/"])
def test_a_prefix_ends_in_a_slash(prefix: str) -> None:
    assert load(BASE | {"S3_PREFIX": prefix}).settings.s3_prefix == "voices/"


def test_lists_are_split_at_commas() -> None:
    settings = load(BASE | {"MODEL_FILE_EXTENSIONS": " .ONNX, .pt ", "COMPANION_FILE_EXTENSIONS": ""}).settings
    assert naming(settings).weight_extensions == (".onnx", ".pt")
    assert naming(settings).companion_extensions == ()


def test_an_extension_is_weight_or_companion_not_both() -> None:
    with pytest.raises(ConfigurationError, match=r"share \.json"):
        load(BASE | {"MODEL_FILE_EXTENSIONS": ".onnx,.json"})


def test_a_signature_needs_a_key() -> None:
    with pytest.raises(ConfigurationError, match="needs GATE_SIGNATURE_KEY"):
        load(BASE | {"GATE_SIGNATURE": "require"})


def test_several_keys_and_one_password() -> None:
    settings = load(BASE | {"GATE_SIGNATURE_KEY": "/etc/a.pub, /etc/signers"}).settings
    assert settings.gate_signature_key == (Path("/etc/a.pub"), Path("/etc/signers"))
    with pytest.raises(ConfigurationError, match="are both set: leave one"):
        load(BASE | {"SIGN_KEY_PASSWORD": "hidden", "SIGN_KEY_PASSWORD_FILE": "/run/password"})


def test_the_limits_are_known_without_the_process_that_judges() -> None:
    made = gate(load(BASE | {"GATE_MAX_FILES": "7", "GATE_MAX_PATH_DEPTH": "3"}).settings)
    assert (made.limits.max_files, made.limits.max_path_depth) == (7, 3)
    assert b'"max_files": 7' in made.rules


def test_a_commit_file_cannot_be_called_as_signatures_are() -> None:
    with pytest.raises(ConfigurationError, match=r"MODEL_COMMIT_FILE is model\.sig"):
        load(BASE | {"MODEL_COMMIT_FILE": "model.sig"})


def test_any_number_of_queues() -> None:
    url = "https://sqs.eu-west-1.amazonaws.com/1/q"
    environment = BASE | {"SQS_MODEL_SYNC_QUEUE_URL": url, "SQS_B_QUEUE_URL": url, "SQS_C_QUEUE_URL": ""}
    assert load(environment).queues == {"model_sync": url, "b": url}


@pytest.mark.parametrize(
    ("environment", "console"),
    [
        ({}, False),
        ({"APP_ENV": "development"}, True),
        ({"NODE_ENV": "development"}, True),
        ({"NODE_ENV": "test"}, False),
        ({"NODE_ENV": "development", "APP_ENV": "production"}, False),
        ({"APP_ENV": "development", "LOG_FORMAT": "json"}, False),
        ({"LOG_FORMAT": "console"}, True),
        ({"LOG_FORMAT": ""}, False),
    ],
)
def test_development_logs_for_people(environment: dict[str, str], console: bool) -> None:  # noqa: FBT001
    assert logs(load(BASE | environment).settings).console is console


def test_every_variable_has_a_meaning() -> None:
    rows = effective(load(BASE))
    assert [row.name for row in rows] == [name.upper() for name in Settings.model_fields]
    assert all(row.meaning for row in rows)


def test_only_the_given_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNC_WORKERS", "7")
    assert load(BASE).settings.sync_workers == 2


@pytest.mark.parametrize("host", ["169.254.169.254", "[fd00:ec2::254]", "[::ffff:169.254.169.254]", "0.0.0.0:80"])
def test_a_webhook_to_a_forbidden_address_is_refused_without_its_secrets(host: str) -> None:
    environment = BASE | {
        "NOTIFY_WEBHOOK_URLS": f"http://user:hidden@{host}/hidden, http://10.0.0.1/x, https://hooks/x"
    }
    with pytest.raises(ConfigurationError) as caught:
        load(environment)
    (problem,) = caught.value.problems
    assert f"http://{host.removesuffix(':80').strip('[]')}" in problem.replace("[", "").replace("]", "")
    assert "hidden" not in problem
    assert len(load(environment | {"NOTIFY_ALLOW_LINK_LOCAL": "true"}).settings.notify_webhook_urls) == 3


def test_a_hook_may_run_modelsync_with_what_it_finds_in_its_environment() -> None:
    assert load(BASE | {"MODELSYNC_EVENT": "published", "MODELSYNC_REASON": "why"})
    with pytest.raises(ConfigurationError, match="MODELSYNC_EVENTS is no variable"):
        load(BASE | {"MODELSYNC_EVENTS": "published"})


def test_receivers_are_numbered_and_their_secrets_hidden() -> None:
    environment = BASE | {
        "NOTIFY_WEBHOOK_URLS": "https://one/hidden,https://two:8443",
        "NOTIFY_WEBHOOK_SECRET": "hidden",
        "S3_PREFIX": "voices/",
    }
    one, two = webhooks(load(environment).settings)
    assert (one.name, one.shown, two.name, two.shown) == ("webhook-1", "https://one/…", "webhook-2", "https://two:8443")
    assert (one.key, one.origin.source) == (b"hidden", "s3://models/voices/")
    assert "hidden" not in repr(one)
    assert command(load(BASE).settings, "sh -c 'two words'").words == ("sh", "-c", "two words")

"""Settings as the options of each room. A room that not every command needs is imported when it is asked for."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from modelsync.adapters.aws import AwsOptions
from modelsync.adapters.gate import GateOptions
from modelsync.adapters.s3 import S3Options
from modelsync.app.collect import CollectOptions
from modelsync.app.decide import DecideOptions
from modelsync.app.settling import SettleOptions
from modelsync.app.spans import FetchOptions
from modelsync.app.sync import SyncOptions
from modelsync.config.fields import redact_url
from modelsync.config.load import Configuration
from modelsync.config.settings import Settings
from modelsync.core.deletions import DeletionRules, Policy
from modelsync.core.limits import GateLimits
from modelsync.core.names import Naming
from modelsync.core.notices import Origin
from modelsync.core.retention import RetentionRules
from modelsync.core.space import SpaceRules
from modelsync.gate.rules import GateRules
from modelsync.telemetry.logs import LogOptions

if TYPE_CHECKING:
    from modelsync.adapters.command import CommandOptions
    from modelsync.adapters.sqs import SqsOptions
    from modelsync.adapters.webhook import WebhookOptions
    from modelsync.app.consumer import ConsumerOptions
    from modelsync.app.doctor import DoctorOptions
    from modelsync.app.push import PushOptions
    from modelsync.web.options import HttpOptions


def naming(settings: Settings) -> Naming:
    """Which keys are which files of which models."""
    return Naming(
        prefix=settings.s3_prefix,
        depth=settings.model_depth,
        weight_extensions=settings.model_file_extensions,
        companion_extensions=settings.companion_file_extensions,
        commit_file=settings.model_commit_file,
        include=settings.model_include,
        exclude=settings.model_exclude,
    )


def aws(settings: Settings) -> AwsOptions:
    """How AWS is reached."""
    return AwsOptions(
        region=settings.aws_region,
        s3_endpoint_url=settings.aws_endpoint_url_s3 or settings.aws_endpoint_url,
        sqs_endpoint_url=settings.aws_endpoint_url_sqs or settings.aws_endpoint_url,
    )


def s3(settings: Settings) -> S3Options:
    """Which bucket."""
    return S3Options(
        bucket=settings.s3_bucket_name,
        expected_owner=settings.s3_expected_bucket_owner,
        request_payer=settings.s3_request_payer,
    )


def queues(configuration: Configuration) -> list[SqsOptions]:
    """Which queues."""
    from modelsync.adapters.sqs import SqsOptions

    return [SqsOptions(name, url) for name, url in sorted(configuration.queues.items())]


def consumer(settings: Settings) -> ConsumerOptions:
    """How queues are read."""
    from modelsync.app.consumer import ConsumerOptions

    return ConsumerOptions(
        bucket=settings.s3_bucket_name, naming=naming(settings), settle_seconds=settings.settle_seconds
    )


def fetch(settings: Settings) -> FetchOptions:
    """Bounds of downloads."""
    return FetchOptions(concurrency=settings.transfer_concurrency)


def decide(settings: Settings) -> DecideOptions:
    """What decisions go by."""
    return DecideOptions(
        naming=naming(settings),
        settle=SettleOptions(settings.settle_seconds, settings.upload_stale_seconds),
        commit_timeout_seconds=settings.commit_timeout_seconds,
        deletions=deletions(settings),
    )


def gate_rules(settings: Settings) -> GateRules:
    """What content has to pass."""
    return GateRules(
        structure=settings.gate_structure,
        pickle=settings.gate_pickle,
        pickle_allow=settings.gate_pickle_allow,
        limits=GateLimits(
            max_files=settings.gate_max_files,
            max_file_bytes=settings.gate_max_file_bytes,
            max_model_bytes=settings.gate_max_model_bytes,
            max_path_length=settings.gate_max_path_length,
            max_path_depth=settings.gate_max_path_depth,
        ),
    )


def gate(settings: Settings) -> GateOptions:
    """How content is checked."""
    rules = gate_rules(settings)
    return GateOptions(rules.to_json(), rules.digest, limits=rules.limits)


def deletions(settings: Settings) -> DeletionRules:
    """What becomes of models that left the bucket."""
    return DeletionRules(Policy(settings.delete_policy), settings.delete_grace_seconds, settings.delete_max_fraction)


def push(settings: Settings) -> PushOptions:
    """Bounds of a push."""
    from modelsync.app.push import PushOptions

    return PushOptions(concurrency=settings.transfer_concurrency)


def space(settings: Settings) -> SpaceRules:
    """What is left alone on the volume."""
    return SpaceRules(settings.volume_min_free_bytes, settings.volume_budget_bytes)


def collect(settings: Settings) -> CollectOptions:
    """Which revisions are kept."""
    rules = RetentionRules(settings.keep_revisions, settings.stale_revision_seconds, settings.evict_current == "lru")
    return CollectOptions(rules, space(settings))


def sync(settings: Settings) -> SyncOptions:
    """What a sync goes by."""
    return SyncOptions(source=source(settings), space=space(settings))


def source(settings: Settings) -> str:
    """Bucket and prefix, as an address."""
    return f"s3://{settings.s3_bucket_name}/{settings.s3_prefix}"


def doctor(settings: Settings, region: str) -> DoctorOptions:
    """What is looked at. `region`: that requests are signed for."""
    from modelsync.app.doctor import DoctorOptions

    return DoctorOptions(
        source=source(settings),
        base=str(settings.models_base_path),
        naming=naming(settings),
        space=space(settings),
        region=region,
        on_aws=aws(settings).sqs_endpoint_url is None,
        owner=settings.s3_expected_bucket_owner,
        reconcile_seconds=settings.reconcile_interval_seconds,
    )


def origin(settings: Settings) -> Origin:
    """Whose notices they are."""
    return Origin(f"s3://{settings.s3_bucket_name}/{settings.s3_prefix}", str(settings.models_base_path))


def webhooks(settings: Settings) -> list[WebhookOptions]:
    """Who is told by HTTP. The addresses hold secrets: `shown` has none."""
    from modelsync.adapters.webhook import WebhookOptions, key_of

    secret = settings.notify_webhook_secret
    return [
        WebhookOptions(
            name=f"webhook-{number}",
            url=url,
            shown=redact_url(url),
            origin=origin(settings),
            key=key_of(secret.get_secret_value()) if secret else None,
            link_local=settings.notify_allow_link_local,
        )
        for number, url in enumerate(settings.notify_webhook_urls, 1)
    ]


def command(settings: Settings, line: str) -> CommandOptions:
    """A command of the operator's."""
    from modelsync.adapters.command import CommandOptions

    return CommandOptions(tuple(shlex.split(line)), settings.hook_timeout_seconds)


def logs(settings: Settings) -> LogOptions:
    """How to log."""
    log_format = settings.log_format or ("console" if settings.app_env == "development" else "json")
    return LogOptions(level=settings.log_level, console=log_format == "console")


def http(settings: Settings) -> HttpOptions:
    """Where to listen, and who may write."""
    from modelsync.web.options import HttpOptions

    token = settings.api_token.get_secret_value() if settings.api_token else None
    return HttpOptions(host=settings.http_host, port=settings.http_port, token=token)

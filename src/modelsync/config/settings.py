"""Every variable of modelsync, with its type, default and meaning: the source of docs/configuration.md."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from modelsync.config.fields import (
    Command,
    Extensions,
    FileName,
    Note,
    Optional,
    Paths,
    PickleNames,
    Prefix,
    Url,
    Urls,
    Words,
    none_or_at_least,
    one_of,
    webhook_secret,
)

_BUCKET = r"^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$"


class Settings(BaseModel):
    """The environment, read and checked. Names are those of the variables, in lower case."""

    model_config = ConfigDict(frozen=True, validate_default=True)

    # The bucket
    s3_bucket_name: Annotated[str, Field(pattern=_BUCKET), Note("The bucket that holds the models.")]
    s3_prefix: Annotated[Prefix, Note("Only keys below this prefix.")] = ""
    s3_expected_bucket_owner: Annotated[
        str | None, Field(pattern=r"^\d{12}$"), Optional,
        Note("Account id; a bucket owned by another account is refused."),
    ] = None  # fmt: skip
    s3_request_payer: Annotated[
        Literal["requester"] | None, one_of("requester"), Optional,
        Note("`requester`: this account pays, where the bucket's owner wants the requester to."),
    ] = None  # fmt: skip
    aws_region: Annotated[
        str | None, Optional, Note("Region of bucket and queues; AWS_DEFAULT_REGION is read too.")
    ] = None
    aws_endpoint_url: Annotated[
        Url | None, Optional, Note("An S3- and SQS-compatible service or emulator; addressing is path-style then.")
    ] = None
    aws_endpoint_url_s3: Annotated[Url | None, Optional, Note("The same for S3 alone.")] = None
    aws_endpoint_url_sqs: Annotated[Url | None, Optional, Note("The same for SQS alone.")] = None

    # Models
    models_base_path: Annotated[Path, Note("The volume.")] = Path("/models")
    model_depth: Annotated[int, Field(ge=1, le=8), Note("Path segments below the prefix that name a model.")] = 1
    model_include: Annotated[Words, Note("Glob patterns on model names; empty: all.")] = ()
    model_exclude: Annotated[Words, Note("Glob patterns on model names that are left out.")] = ()
    model_file_extensions: Annotated[
        Extensions, Field(min_length=1), Note("Weight files: a prefix without one is no model.")
    ] = (".pth", ".bin", ".onnx", ".safetensors")
    companion_file_extensions: Annotated[
        Extensions, Note("Files published beside weight files; empty: weight files only.")
    ] = (".json", ".yaml", ".yml", ".txt", ".model", ".npy", ".npz", ".wav")
    model_commit_file: Annotated[
        FileName, Note("An upload that has this file is complete when every file it lists is there and matches.")
    ] = "modelsync.json"
    settle_seconds: Annotated[
        float, Field(ge=0, le=86400),
        Note("A model without a commit file is synced when its last event and its newest object are this old."),
    ] = 2.0  # fmt: skip
    upload_stale_seconds: Annotated[
        float, Field(gt=0),
        Note("A multipart upload older than this no longer holds back a model without a commit file."),
    ] = 86400.0  # fmt: skip
    commit_timeout_seconds: Annotated[
        float, Field(gt=0),
        Note("A commit file whose files have not come for so long is told in /health; it goes on waiting for them."),
    ] = 3600.0  # fmt: skip
    reconcile_interval_seconds: Annotated[
        float, Field(ge=0),
        Note(
            "Time between full comparisons with the bucket, give or take 10 % so that replicas part; 0: only the one at"
            " start. SIGHUP compares at once."
        ),
    ] = 300.0  # fmt: skip

    # Work
    sync_workers: Annotated[int, Field(ge=1, le=64), Note("Models synced at once.")] = 2
    transfer_concurrency: Annotated[
        int, Field(ge=1, le=256),
        Note(
            "Requests for bytes at once, over all models; two more for small models while a large one is fetched, and"
            " eight times as many for files of up to 256 KiB."
        ),
    ] = 8  # fmt: skip
    bandwidth_limit_bytes_per_second: Annotated[int, Field(ge=0), Note("Over all downloads; 0: none.")] = 0
    shutdown_grace_seconds: Annotated[
        float, Field(ge=1, le=3600), Note("Time to finish or park work after SIGTERM.")
    ] = 25.0

    scrub_bytes_per_second: Annotated[
        int, Field(ge=0), AfterValidator(none_or_at_least(64 << 10)),
        Note("What is published is read again at this rate and held against its checksums; 0: never."),
    ] = 0  # fmt: skip

    # Retention
    keep_revisions: Annotated[int, Field(ge=0), Note("Revisions kept beside the current one.")] = 2
    stale_revision_seconds: Annotated[
        float, Field(ge=0), Note("Least time between being superseded and removal; readers with a lease have longer.")
    ] = 900.0
    volume_budget_bytes: Annotated[
        int, Field(ge=0),
        Note("What modelsync may use of the volume; a download that would break it evicts, or is refused. 0: all."),
    ] = 0  # fmt: skip
    volume_min_free_bytes: Annotated[
        int,
        Field(ge=0),
        Note("Kept free on the volume: a download that would break it evicts older revisions first, or is refused."),
    ] = 1 << 30
    evict_current: Annotated[
        Literal["off", "lru"], one_of("off", "lru"),
        Note("`lru`: the model used longest ago is withdrawn when space is needed, until it is synced by its name."),
    ] = "off"  # fmt: skip
    delete_policy: Annotated[
        Literal["keep", "unpublish"], one_of("keep", "unpublish"),
        Note("What becomes of models that left the bucket: their links stay, or are withdrawn after the grace."),
    ] = "unpublish"  # fmt: skip
    delete_grace_seconds: Annotated[float, Field(ge=0), Note("Time from leaving the bucket to being unpublished.")] = (
        3600.0
    )
    delete_max_fraction: Annotated[
        float, Field(gt=0, le=1), Note("If a larger share of the models would go at once, none goes.")
    ] = 0.3

    # Gate
    gate_structure: Annotated[
        Literal["refuse", "warn", "off"], one_of("refuse", "warn", "off"),
        Note("What becomes of files that are not what their format asks for; `off`: they are not looked at."),
    ] = "refuse"  # fmt: skip
    gate_pickle: Annotated[
        Literal["allow", "scan", "refuse"], one_of("allow", "scan", "refuse"),
        Note("Pickles, as in PyTorch's files: `allow` lets them run anything that they say when they are loaded."),
    ] = "scan"  # fmt: skip
    gate_pickle_allow: Annotated[
        PickleNames,
        Note("What scanned pickles may use beyond PyTorch's and NumPy's own: `module.Class`, comma-separated."),
    ] = ()
    gate_max_files: Annotated[int, Field(ge=1), Note("Files of a model.")] = 10_000
    gate_max_file_bytes: Annotated[int, Field(ge=1), Note("Bytes of a file.")] = 64 << 30
    gate_max_model_bytes: Annotated[int, Field(ge=1), Note("Bytes of a model.")] = 256 << 30
    gate_max_path_length: Annotated[int, Field(ge=1, le=4096), Note("Bytes of a file's path inside its model.")] = 512
    gate_max_path_depth: Annotated[int, Field(ge=1, le=256), Note("Segments of a file's path inside its model.")] = 16
    quarantine_keep_files: Annotated[
        bool, Note("The files of a model's last refused revision are kept, out of readers' reach, to be looked into.")
    ] = False
    gate_signature: Annotated[
        Literal["off", "warn", "require"], one_of("off", "warn", "require"),
        Note("OpenSSF model signatures: what nobody signed is published (`off`), told of, or refused."),
    ] = "off"  # fmt: skip
    gate_signature_key: Annotated[
        Paths,
        Note("Who may sign: PEM files of public keys and certificate chains, or directories of them, by commas."),
    ] = ()
    sign_key_password: Annotated[
        SecretStr | None, Optional, Note("Of the key that `push --sign` names, if it is encrypted.")
    ] = None
    sign_key_password_file: Annotated[
        Path | None, Optional, Note("A file with that password; a line break at its end is no part of it.")
    ] = None

    # Telling
    notify_webhook_urls: Annotated[Urls, Note("Told after each publish, rejection and withdrawal.")] = ()
    notify_webhook_secret: Annotated[
        SecretStr | None, Optional, AfterValidator(webhook_secret),
        Note("Signs the webhooks: any text, or `whsec_` and base64."),
    ] = None  # fmt: skip
    notify_allow_link_local: Annotated[
        bool, Note("Webhooks may go to link-local, metadata and multicast addresses too.")
    ] = False
    notify_exec: Annotated[
        Command | None, Optional,
        Note("A command, without a shell, run after each publish, rejection and withdrawal."),
    ] = None  # fmt: skip
    publish_hook: Annotated[
        Command | None, Optional,
        Note("A command run before a new revision is published; an exit code but 0 refuses it."),
    ] = None  # fmt: skip
    hook_timeout_seconds: Annotated[
        float, Field(gt=0, le=3600), Note("NOTIFY_EXEC and PUBLISH_HOOK are ended after so long.")
    ] = 60.0
    kubernetes_notify: Annotated[
        Literal["off", "annotate", "restart"], one_of("off", "annotate", "restart"),
        Note("After a publication, workloads of the own namespace are annotated with the revision, or restarted."),
    ] = "off"  # fmt: skip
    kubernetes_selector: Annotated[
        str | None, Optional, Note("Labels of those workloads, as kubectl takes them: `app=tts`.")
    ] = None
    http_host: Annotated[
        str, Field(min_length=1), Note("Address that the HTTP interface listens on; `::` is every one, of IPv4 too.")
    ] = "0.0.0.0"  # noqa: S104 - a pod is reached by its address
    http_port: Annotated[int, Field(ge=0, le=65535), Note("Its port; 0: a free one.")] = 8080
    modelsync_url: Annotated[Url, Note("Where `status` and `push --wait` find a worker's HTTP interface.")] = (
        "http://127.0.0.1:8080"
    )
    api_token: Annotated[
        SecretStr | None, Optional, Note("Bearer token for the API's writing calls; without it they are off.")
    ] = None
    app_env: Annotated[
        Literal["production", "development"], one_of("production", "development"),
        Note("`development` turns on console logs; NODE_ENV is read too."),
    ] = "production"  # fmt: skip
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], one_of("debug", "info", "warning", "error"), Note("Least level.")
    ] = "info"
    log_format: Annotated[
        Literal["json", "console"] | None, one_of("json", "console"), Optional,
        Note("`json` or `console`; not set: json in production."),
    ] = None  # fmt: skip

"""What `doctor` says of what it saw."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelsync.core.doctor.bucket import (
    PAGE_OBJECTS,
    Contents,
    Reached,
    contents_of,
    judge_bucket,
    judge_checksums,
    judge_endpoint,
    judge_listing,
    judge_models,
    judge_reading,
    judge_uploads,
    judge_versioning,
)
from modelsync.core.doctor.findings import Finding, Part, any_failed, failed, not_tried, ok, parted, warning
from modelsync.core.doctor.gate import judge_process
from modelsync.core.doctor.identity import Identity, judge_clock, judge_credentials, judge_signature
from modelsync.core.doctor.notification import Notification, Rule, judge_notification
from modelsync.core.doctor.queue import QueueState, judge_permissions, judge_queue, judge_settings, region_of
from modelsync.core.doctor.volume import (
    Abilities,
    Rights,
    Room,
    judge_abilities,
    judge_mount,
    judge_space,
    judge_writing,
)
from modelsync.core.mounts import Mount
from modelsync.core.names import Naming
from modelsync.core.objects import RemoteObject
from modelsync.core.proof import ObjectDetails
from modelsync.core.space import SpaceRules
from modelsync.errors import (
    BucketMissing,
    ConfigurationError,
    CredentialsRefused,
    GateFailed,
    ModelSyncError,
    NotOffered,
    QueueMissing,
    QueueUnavailable,
    StoreDenied,
    StoreUnavailable,
    VolumeFailed,
    VolumeUnusable,
)

NOW = 1_000_000.0
VOICES = Naming(prefix="voices/")
DENIED = StoreDenied("S3 answered 403 AccessDenied to list 'voices/': give the role s3:ListBucket")
GONE = StoreUnavailable("S3 cannot be reached or broke off (s3:443): timed out")
SKEWED = StoreDenied("S3 answered 403 RequestTimeTooSkewed to list '': set it by NTP")


def said(finding: Finding) -> tuple[str, str]:
    """A verdict, and everything that stands beside it."""
    return finding.verdict.value, f"{finding.found} -> {finding.advice}"


def holds(finding: Finding, verdict: str, *words: str) -> None:
    """Assert a verdict, and what its sentences say; what is not well comes with what to do."""
    found, text = said(finding)
    assert found == verdict, text
    assert all(word in text for word in words), text
    assert finding.advice or verdict in {"ok", "skipped"}
    assert not (finding.advice and verdict == "ok")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("no bucket: check S3_BUCKET_NAME", ("no bucket", "check S3_BUCKET_NAME")),
        ("cannot do it: denied: let the user write", ("cannot do it: denied", "let the user write")),
        ("unreachable (host:1): refused", ("unreachable (host:1): refused", "")),
        ("it is over", ("it is over", "")),
    ],
)
def test_advice_is_told_from_a_cause(error: str, told: tuple[str, str]) -> None:
    assert parted(ModelSyncError(error)) == told


def test_only_a_failure_counts_as_one() -> None:
    others = (ok("a", "b"), warning("a", "b", "c"), *not_tried(["a"], "b"))
    assert not any_failed([Part("x", "", others), Part("y", "", ())])
    assert any_failed([Part("x", "", others), Part("y", "", (failed("a", "b", "c"),))])


# Credentials


@pytest.mark.parametrize(
    ("identity", "verdict", "words"),
    [
        (Identity("env", session=False, ends_at=None), "ok", ["AWS_ACCESS_KEY_ID", "do not end"]),
        (Identity("env", session=True, ends_at=None), "warning", ["session token", "give the pod a role"]),
        (Identity("iam-role", session=True, ends_at=NOW + 3600), "ok", ["instance", "until 1970-01-12 14:46:40 UTC"]),
        (Identity("container-role", session=True, ends_at=NOW + 60), "warning", ["not renewed", "look at the pod"]),
        (Identity("odd", session=False, ends_at=None), "ok", ["the source 'odd'"]),
        (StoreDenied("no AWS credentials found: give the pod a role"), "failed", ["give the pod a role"]),
        (ModelSyncError("there was no answer within 10 s"), "failed", ["no answer", "look at the pod's role"]),
    ],
)
def test_credentials(identity: Identity | ModelSyncError, verdict: str, words: list[str]) -> None:
    holds(judge_credentials(identity, NOW), verdict, *words)


@pytest.mark.parametrize(
    ("listing", "verdict", "words"),
    [
        (None, "ok", []),
        (DENIED, "ok", ["want of a permission"]),
        (CredentialsRefused("S3 answered 403 SignatureDoesNotMatch: check AWS_SECRET_ACCESS_KEY"), "failed", ["check"]),
        (SKEWED, "failed", ["NTP"]),
        (GONE, "skipped", ["did not answer"]),
        (BucketMissing("no"), "skipped", ["before the bucket"]),
    ],
)
def test_signature(listing: ModelSyncError | None, verdict: str, words: list[str]) -> None:
    holds(judge_signature(listing), verdict, *words)


@pytest.mark.parametrize(
    ("skew", "verdict", "words"),
    [
        (None, "skipped", []),
        (-60.0, "ok", []),
        (61.0, "warning", ["1 min 1 s ahead of S3's", "NTP"]),
        (-900.0, "warning", ["15 min behind"]),
        (901.0, "failed", ["NTP"]),
    ],
)
def test_clock(skew: float | None, verdict: str, words: list[str]) -> None:
    holds(judge_clock(skew), verdict, *words)


# The bucket


def remote(key: str, size_bytes: int = 1) -> RemoteObject:
    return RemoteObject(key, size_bytes, "e", 1.0)


def test_a_page_is_sorted_into_models_and_others() -> None:
    keys = ["alice/model.onnx", "alice/modelsync.json", "bob/config.json", "carol/../x.onnx", "notes.pdf", "solo.bin"]
    found = contents_of([remote(f"voices/{key}") for key in keys] + [remote("voices/x/empty.onnx", 0)], VOICES)
    assert (found.objects, found.models, found.committed, found.ignored) == (7, 3, 1, 1)
    assert found.example == "voices/notes.pdf"
    assert len(found.refused) == 1
    assert found.sample == remote("voices/alice/model.onnx")
    assert contents_of([], VOICES) == Contents(0)


@pytest.mark.parametrize(
    ("contents", "verdict", "words"),
    [
        (Contents(0), "warning", ["nothing below 'voices/'", "S3_PREFIX"]),
        (Contents(1, models=1), "ok", ["1 object below 'voices/': 1 model, 0 with a commit file"]),
        (Contents(PAGE_OBJECTS, models=2, ignored=3, example="x"), "ok", ["the first 1,000", "3 objects, such as 'x'"]),
        (Contents(2, ignored=2, example="x"), "warning", ["0 models", "MODEL_FILE_EXTENSIONS=.pth, .bin"]),
        (Contents(2, models=1, refused=("key 'a/../b'",)), "warning", ["refused: 1 key", "another name: key 'a/../b'"]),
    ],
)
def test_models(contents: Contents, verdict: str, words: list[str]) -> None:
    holds(judge_models(contents, VOICES), verdict, *words)
    assert "in the bucket" in said(judge_models(contents, Naming()))[1]


@pytest.mark.parametrize(
    ("reached", "verdict", "words"),
    [
        (Reached(403, None, 0.0), "ok", ["s3:443 answers"]),
        (Reached(503, None, 0.0), "failed", ["answers 503"]),
        (GONE, "failed", ["timed out", "check the endpoint"]),
    ],
)
def test_endpoint(reached: Reached | ModelSyncError, verdict: str, words: list[str]) -> None:
    holds(judge_endpoint(reached, "s3:443"), verdict, *words)


@pytest.mark.parametrize(
    ("listing", "region", "owner", "verdict", "words"),
    [
        (None, "eu-central-1", None, "ok", ["in region eu-central-1"]),
        (None, None, "123456789012", "ok", ["does not say in which region", "owner is 123456789012"]),
        (None, "us-east-1", None, "warning", ["set AWS_REGION=us-east-1"]),
        (DENIED, "us-east-1", None, "failed", ["set AWS_REGION=us-east-1"]),
        (BucketMissing("bucket 'x' does not exist: check S3_BUCKET_NAME"), None, None, "failed", ["check S3_BUCKET_"]),
        (ConfigurationError("bucket 'x' is in region y: set AWS_REGION=y"), "y", None, "failed", ["set AWS_REGION=y"]),
        (DENIED, None, None, "skipped", ["before it can be listed"]),
    ],
)
def test_bucket(
    listing: ModelSyncError | None, region: str | None, owner: str | None, verdict: str, words: list[str]
) -> None:
    finding = judge_bucket(listing, Reached(200, region, 0.0), region="eu-central-1", owner=owner)
    holds(finding, verdict, *words)


def test_a_bucket_of_a_store_that_said_nothing_before_the_listing() -> None:
    holds(judge_bucket(None, None, region="x", owner=None), "ok")


@pytest.mark.parametrize(
    ("error", "prefix", "owner", "verdict", "words"),
    [
        (None, "voices/", None, "ok", ["below 'voices/'"]),
        (None, "", None, "ok", ["as a whole"]),
        (DENIED, "voices/", None, "failed", ["allow s3:ListBucket on the bucket for this prefix ('voices/')"]),
        (DENIED, "", "123456789012", "failed", ["S3_EXPECTED_BUCKET_OWNER=123456789012"]),
        (
            StoreDenied("S3 answered 403 AllAccessDisabled to list: ask its owner"),
            "",
            None,
            "failed",
            ["ask its owner"],
        ),
        (GONE, "", None, "failed", ["check the endpoint"]),
        (BucketMissing("no"), "", None, "skipped", ["before the bucket"]),
        (SKEWED, "", None, "skipped", ["before S3 takes the signature"]),
    ],
)
def test_listing(error: ModelSyncError | None, prefix: str, owner: str | None, verdict: str, words: list[str]) -> None:
    holds(judge_listing(error, prefix=prefix, owner=owner), verdict, *words)


@pytest.mark.parametrize(
    ("error", "verdict", "words"),
    [
        (None, "ok", ["'k'"]),
        (DENIED, "failed", ["s3:GetObject", "kms:Decrypt"]),
        (StoreDenied("S3 answered 403 KMS.Disabled to read 'k': give the role kms:Decrypt"), "failed", ["kms:Decrypt"]),
        (GONE, "failed", ["run this again"]),
    ],
)
def test_reading(error: ModelSyncError | None, verdict: str, words: list[str]) -> None:
    holds(judge_reading(error, "k"), verdict, *words)


def test_checksums() -> None:
    holds(judge_checksums(ObjectDetails(5, "e", {"crc64nvme": "x="})), "ok", "crc64nvme")
    holds(judge_checksums(ObjectDetails(5, "e")), "warning", "modelsync push")
    holds(judge_checksums(GONE), "skipped", "timed out")


def test_uploads_and_versioning() -> None:
    holds(judge_uploads(3), "ok", "3 now")
    holds(judge_uploads(0, "AmazonS3"), "ok", "0 now")
    holds(judge_uploads(0, "MinIO"), "warning", "exact key only", "commit files")
    holds(judge_uploads(GONE, "MinIO"), "skipped", "timed out")
    holds(judge_uploads(NotOffered("S3 answered 403")), "warning", "SETTLE_SECONDS", "s3:ListBucketMultipartUploads")
    holds(judge_uploads(GONE), "skipped", "timed out")
    holds(judge_versioning("Enabled"), "ok", "on:")
    holds(judge_versioning("Suspended"), "ok", "off:")
    holds(judge_versioning(NotOffered("S3 answered 403")), "skipped", "s3:GetBucketVersioning", "not needed")
    holds(judge_versioning(GONE), "skipped", "timed out")


# Queues

URL = "https://sqs.eu-central-1.amazonaws.com/123456789012/model-sync"
ARN = "arn:aws:sqs:eu-central-1:123456789012:model-sync"
WELL = QueueState(ARN, 30, redrives=True, most_receives=10, retention_seconds=345600, waiting=1)


@pytest.mark.parametrize(
    ("url", "region"),
    [
        (URL, "eu-central-1"),
        ("https://sqs.cn-north-1.amazonaws.com.cn/1/q", "cn-north-1"),
        ("https://us-east-2.queue.amazonaws.com/1/q", "us-east-2"),
        ("http://localhost:4566/1/q", None),
        ("http:", None),
    ],
)
def test_the_region_in_a_queues_address(url: str, region: str | None) -> None:
    assert region_of(url) == region


@pytest.mark.parametrize(
    ("state", "url", "verdict", "words"),
    [
        (WELL, URL, "ok", ["1 message waiting and 0 in flight"]),
        (WELL, "http://localhost/1/q", "ok", []),
        (WELL, URL.replace("eu-central-1", "us-east-1"), "failed", ["SQS_X_QUEUE_URL is in region us-east-1"]),
        (WELL, f"{URL}.fifo", "failed", ["FIFO"]),
        (replace(WELL, waiting=1001), URL, "warning", ["1,001 messages", "SYNC_WORKERS"]),
        (NotOffered("no"), URL, "warning", ["allow sqs:GetQueueAttributes"]),
        (QueueMissing("it does not exist"), URL, "failed", ["check SQS_X_QUEUE_URL"]),
        (QueueUnavailable("cannot read: timed out"), URL, "failed", ["timed out", "AWS_ENDPOINT_URL_SQS"]),
    ],
)
def test_queue(state: QueueState | ModelSyncError, url: str, verdict: str, words: list[str]) -> None:
    holds(judge_queue(state, url, "SQS_X_QUEUE_URL", region="eu-central-1", on_aws=True), verdict, *words)


def test_the_host_in_a_queues_address_does_not_matter_with_an_endpoint_of_ones_own() -> None:
    holds(judge_queue(WELL, URL, "SQS_X_QUEUE_URL", region="us-east-1", on_aws=False), "ok")


def test_permissions() -> None:
    holds(judge_permissions(()), "ok")
    holds(judge_permissions(("sqs:ReceiveMessage", "sqs:DeleteMessage")), "failed", "allow sqs:ReceiveMessage, sqs:Del")
    holds(judge_permissions(GONE), "skipped", "timed out")


@pytest.mark.parametrize(
    ("state", "verdict", "words"),
    [
        (WELL, "ok", ["30 s", "dead-letter queue after 10 receives"]),
        (replace(WELL, most_receives=None, retention_seconds=None), "ok", ["is moved to the dead-letter queue ->"]),
        (replace(WELL, redrives=False), "warning", ["no redrive policy", "give it a dead-letter queue"]),
        (replace(WELL, most_receives=2), "warning", ["after 2 receives", "maxReceiveCount"]),
        (replace(WELL, visibility_seconds=5), "warning", ["come back after 5 s"]),
        (replace(WELL, visibility_seconds=43200), "warning", ["up to 12 h"]),
        (replace(WELL, retention_seconds=60), "warning", ["dropped after 1 min"]),
        (replace(WELL, kms_key="alias/aws/sqs"), "failed", ["no event arrives", "SSE-SQS"]),
        (replace(WELL, kms_key="alias/mine"), "warning", ["'alias/mine'", "kms:GenerateDataKey"]),
    ],
)
def test_settings(state: QueueState, verdict: str, words: list[str]) -> None:
    [finding] = judge_settings(state)
    holds(finding, verdict, *words)


def test_each_odd_setting_is_told() -> None:
    odd = QueueState(ARN, 1, redrives=False, retention_seconds=60)
    assert [finding.verdict for finding in judge_settings(odd)] == ["warning"] * 3


# The notification

ALL = ("s3:ObjectCreated:*", "s3:ObjectRemoved:*")


def to_queue(*events: str, **narrower: str) -> Rule:
    return Rule("queue", ARN, events or ALL, **narrower)


def judged(*rules: Rule, bridge: bool = False, naming: Naming = VOICES, seconds: float = 300) -> Finding:
    return judge_notification(Notification(rules, bridge), url=URL, arn=ARN, naming=naming, reconcile_seconds=seconds)


@pytest.mark.parametrize(
    "rules",
    [
        [to_queue()],
        [to_queue(prefix="voices/")],
        [to_queue(prefix="voi")],
        [to_queue(ALL[0]), to_queue(ALL[1])],
        [to_queue("s3:*")],
        [to_queue(suffix=suffix) for suffix in (".pth", ".bin", ".onnx", ".safetensors", ".json", ".yaml", ".yml",
                                                ".txt", ".model", ".npy", ".npz", ".wav")],
        [Rule("queue", f"{ARN}-other", ALL), to_queue()],
    ],
)  # fmt: skip
def test_a_notification_that_tells_everything(rules: list[Rule]) -> None:
    holds(judged(*rules), "ok", "'voices/'")


@pytest.mark.parametrize(
    ("rules", "verdict", "words"),
    [
        ([], "failed", ["sends no events", "s3:ObjectCreated:*"]),
        ([Rule("queue", f"{ARN}-other", ALL)], "failed", [f"'{ARN}-other' only"]),
        ([Rule("function", "arn:f", ALL)], "failed", ["'arn:f' only"]),
        ([Rule("topic", "arn:t", ALL)], "warning", ["the SNS topic 'arn:t'", "cannot be seen", "subscription"]),
        ([to_queue(prefix="other/")], "failed", ["prefix 'other/'", "does not cover 'voices/'"]),
        ([to_queue(prefix="voices/alice/")], "failed", ["prefix 'voices/alice/'"]),
        ([to_queue(suffix=".pt")], "failed", ["suffix '.pt'"]),
        ([to_queue(ALL[1])], "failed", ["no events of created objects"]),
        ([to_queue(ALL[0])], "warning", ["no event tells of removed objects", "every 5 min"]),
        ([to_queue(suffix=".onnx")], "warning", ["files like .pth, .bin, .safetensors"]),
        ([to_queue("s3:ObjectCreated:Put", ALL[1])], "warning", ["ObjectCreated:CompleteMultipartUpload"]),
    ],
)
def test_a_notification_with_gaps(rules: list[Rule], verdict: str, words: list[str]) -> None:
    holds(judged(*rules), verdict, *words)


def test_a_commit_file_counts_where_only_it_is_told() -> None:
    holds(judged(to_queue(suffix="/modelsync.json")), "warning", "files like .pth")


def test_notifications_by_other_ways_and_of_whole_buckets() -> None:
    holds(judged(bridge=True), "warning", "EventBridge, not to this queue itself")
    holds(judged(naming=Naming()), "failed")
    holds(judged(to_queue(), naming=Naming()), "ok", "the whole bucket")
    holds(judged(to_queue(ALL[0]), seconds=0), "warning", "RECONCILE_INTERVAL_SECONDS=0")


def test_a_queue_whose_arn_is_not_known_is_found_by_account_and_name() -> None:
    for url, verdict in ((URL, "ok"), (f"{URL}-2", "failed")):
        finding = judge_notification(Notification((to_queue(),)), url=url, arn="", naming=VOICES, reconcile_seconds=300)
        holds(finding, verdict)


def test_a_notification_that_cannot_be_seen() -> None:
    for error, words in ((NotOffered("S3 answered 403"), "allow s3:GetBucketNotification"), (GONE, "timed out")):
        finding = judge_notification(error, url=URL, arn=ARN, naming=VOICES, reconcile_seconds=300)
        holds(finding, "skipped", words)


# The volume


@pytest.mark.parametrize(
    ("mount", "verdict", "words"),
    [
        (Mount("ext4", "/dev/sda", "/models", "rw"), "ok", ["on ext4, mounted at /models"]),
        (Mount("nfs4", "h:/x", "/models", "rw,relatime"), "ok", ["60 s, the life of its attribute cache"]),
        (Mount("nfs4", "h:/x", "/models", "rw,acdirmax=5"), "ok", ["after up to 5 s"]),
        (Mount("nfs", "h:/x", "/models", "rw,noac"), "ok", ["attributes are not cached"]),
        (Mount("fuse", "mountpoint-s3", "/models", "rw"), "failed", ["Mountpoint for S3 supports neither"]),
        (Mount("fuse.s3fs", "s3fs", "/models", "rw"), "failed", ["s3fs supports neither", "NFSv4 or EFS"]),
        (Mount("fuse.sshfs", "h:/x", "/models", "rw"), "ok", []),
        (Mount("tmpfs", "tmpfs", "/models", "rw"), "warning", ["in memory", "PersistentVolumeClaim"]),
        (Mount("overlay", "overlay", "/", "rw"), "warning", ["the container's own layer"]),
        (None, "skipped", ["cannot be told"]),
        (VolumeUnusable("MODELS_BASE_PATH=/models is no directory: mount the volume there"), "failed", ["mount the"]),
    ],
)
def test_mount(mount: Mount | ModelSyncError | None, verdict: str, words: list[str]) -> None:
    holds(judge_mount(mount, "/models"), verdict, *words)


@pytest.mark.parametrize(
    ("error", "verdict", "words"),
    [
        (None, "ok", ["cleaned up"]),
        (VolumeUnusable("no: let modelsync's user write", "permission"), "failed",
         ["user 1000, group 2000 may not write to /models, which belongs to 0:3 with mode 0755", "fsGroup"]),
        (VolumeFailed("no: mount it read-write", "read_only"), "failed", ["mount it read-write"]),
        (ModelSyncError("there was no answer within 10 s"), "failed", ["mount a file system with symlinks"]),
    ],
)  # fmt: skip
def test_writing(error: ModelSyncError | None, verdict: str, words: list[str]) -> None:
    holds(judge_writing(error, Rights("/models", 1000, 2000, 0, 3, 0o755)), verdict, *words)


def test_writing_where_the_owner_is_not_known() -> None:
    error = VolumeFailed("no: let modelsync's user write", "permission")
    holds(judge_writing(error, None), "failed", "let modelsync's user write")


@pytest.mark.parametrize(
    ("room", "verdict", "words"),
    [
        (Room(10 << 30, 2 << 30, None), "ok", ["2.0 GiB of 10.0 GiB are free ->"]),
        (Room(10 << 30, 2 << 30, 5000), "ok", ["5,000 inodes"]),
        (Room(10 << 30, 2 << 30, 10), "warning", ["10 inodes"]),
        (Room(10 << 30, 2 << 30, 0), "failed", ["0 inodes"]),
        (Room(10 << 30, 1 << 20, 0), "failed", ["1.0 GiB must stay free", "lower VOLUME_MIN_FREE_BYTES"]),
        (VolumeFailed("cannot measure the volume: it is gone"), "failed", ["it is gone", "look at"]),
    ],
)
def test_space(room: Room | ModelSyncError, verdict: str, words: list[str]) -> None:
    holds(judge_space(room, SpaceRules(1 << 30)), verdict, *words)


def test_abilities() -> None:
    holds(judge_abilities(Abilities("clone", direct=True)), "ok", "share their blocks", "past the page cache")
    assert "page cache" not in judge_abilities(Abilities("copy", direct=False)).found


# The gate


@pytest.mark.parametrize(
    ("loose", "verdict", "words"),
    [
        (None, "ok", ["nothing but read"]),
        ("there is no list of system calls for riscv64", "warning", ["for riscv64", "seccomp"]),
        (
            GateFailed("the process that checks models does not start: it was killed"),
            "failed",
            ["was killed", "limits"],
        ),
    ],
)
def test_the_process_that_checks(loose: str | GateFailed | None, verdict: str, words: list[str]) -> None:
    holds(judge_process(loose), verdict, *words)

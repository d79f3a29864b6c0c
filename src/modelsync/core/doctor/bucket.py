"""What the bucket allows, and what is in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modelsync.core.doctor.findings import Finding, failed, failure, ok, parted, skipped, warning
from modelsync.core.doctor.identity import refuses_signature
from modelsync.core.names import Located, ModelId, Naming, Refused, locate
from modelsync.core.objects import RemoteObject, gather
from modelsync.core.proof import ObjectDetails, Proof, expected
from modelsync.core.words import counted, quoted
from modelsync.errors import ConfigurationError, ModelSyncError, NotOffered, StoreDenied

PAGE_OBJECTS = 1000
"""What one answer of a listing holds."""
_UNREACHED = "check the endpoint, DNS, proxies and network policies between this pod and S3"
_AGAIN = "run this again; if it stays so, look at the store's own health"


@dataclass(frozen=True, slots=True)
class Reached:
    """What S3 answers to whoever asks for the bucket, without a signature.

    Attributes:
        status: of HTTP.
        region: where it says the bucket is; None: it does not.
        skew_seconds: by how much this machine's clock is ahead of its; None: it did not tell the time.
        server: what it calls itself.
    """

    status: int
    region: str | None
    skew_seconds: float | None
    server: str = ""


@dataclass(frozen=True)
class Contents:
    """What the first page of a listing holds.

    Attributes:
        objects: how many objects it has.
        models: how many models they make.
        committed: how many of these have a commit file.
        ignored: objects that are no file of a model.
        refused: keys that cannot be one's, each with its reason.
        example: an ignored key.
        sample: a weight file to try reading with.
    """

    objects: int
    models: int = 0
    committed: int = 0
    ignored: int = 0
    refused: tuple[str, ...] = ()
    example: str | None = None
    sample: RemoteObject | None = None


def contents_of(objects: Sequence[RemoteObject], naming: Naming) -> Contents:
    """Sort the objects of a page."""
    models: dict[ModelId, list[RemoteObject]] = {}
    ignored: list[str] = []
    refused: list[str] = []
    sample = None
    for remote in objects:
        match locate(remote.key, naming):
            case Located(model=model):
                models.setdefault(model, []).append(remote)
                if sample is None and remote.size_bytes and naming.is_weight(remote.key):
                    sample = remote
            case Refused(reason=reason):
                refused.append(reason)
            case _:
                ignored.append(remote.key)
    snapshots = [found for model, own in models.items() if (found := gather(model, own, naming)) is not None]
    return Contents(
        objects=len(objects),
        models=len(snapshots),
        committed=sum(snapshot.commit is not None for snapshot in snapshots),
        ignored=len(ignored),
        refused=tuple(refused),
        example=next(iter(ignored), None),
        sample=sample,
    )


def judge_endpoint(reached: Reached | ModelSyncError, where: str) -> Finding:
    """Judge whether S3 answers at all. `where`: host and port."""
    name = "endpoint"
    if isinstance(reached, ModelSyncError):
        return failure(name, reached, _UNREACHED)
    if reached.status >= 500:
        return failed(name, f"{where} answers {reached.status}", _AGAIN)
    return ok(name, f"{where} answers")


def judge_bucket(listing: ModelSyncError | None, reached: Reached | None, *, region: str, owner: str | None) -> Finding:
    """Judge whether there is such a bucket, in this region, of this owner.

    Args:
        listing: what became of a signed listing; None: it was answered.
        reached: what S3 says without a signature, if anything.
        region: ours.
        owner: the account that it must belong to; None: any.
    """
    name = "bucket"
    told = reached.region if reached else None
    if isinstance(listing, ConfigurationError):
        return failure(name, listing, "check S3_BUCKET_NAME and AWS_REGION")
    if told not in {None, region}:
        advice = f"set AWS_REGION={told}"
        found = f"it is in region {told}, but requests are signed for {region}"
        return warning(name, found, advice) if listing is None else failed(name, found, advice)
    if listing is not None:
        return skipped(name, "not known before it can be listed")
    found = f"it exists, in region {told}" if told else "it exists; the store does not say in which region"
    return ok(name, f"{found}; its owner is {owner}" if owner else found)


def judge_listing(error: ModelSyncError | None, *, prefix: str, owner: str | None) -> Finding:
    """Judge whether the bucket can be listed below the prefix."""
    name = "listing"
    below = f"below {quoted(prefix)}" if prefix else "as a whole"
    if error is None:
        return ok(name, f"ListObjectsV2 {below} is allowed")
    if isinstance(error, ConfigurationError):
        return skipped(name, "not known before the bucket is found")
    if refuses_signature(error):
        return skipped(name, "not known before S3 takes the signature")
    if _is_denied(error):
        advice = "allow s3:ListBucket on the bucket" + (f" for this prefix ({quoted(prefix)})" if prefix else "")
        if owner:
            advice += f", and see that it belongs to S3_EXPECTED_BUCKET_OWNER={owner}"
        return failed(name, parted(error)[0], advice)
    return failure(name, error, _UNREACHED)


def judge_models(contents: Contents, naming: Naming) -> Finding:
    """Judge what is below the prefix."""
    name = "models"
    first = "the first " if contents.objects >= PAGE_OBJECTS else ""
    where = f"below {quoted(naming.prefix)}" if naming.prefix else "in the bucket"
    if not contents.objects:
        return warning(name, f"there is nothing {where}", "upload a voice (modelsync push), or check S3_PREFIX")
    found = (
        f"{first}{counted(contents.objects, 'object')} {where}: {counted(contents.models, 'model')},"
        f" {contents.committed} with a commit file"
    )
    if contents.ignored:
        found += f"; ignored: {counted(contents.ignored, 'object')}, such as {quoted(contents.example or '')}"
    if not contents.models:
        endings = ", ".join(naming.weight_extensions)
        return warning(
            name,
            found,
            f"check S3_PREFIX, MODEL_DEPTH={naming.depth}, MODEL_INCLUDE and MODEL_FILE_EXTENSIONS={endings}",
        )
    if contents.refused:
        return warning(
            name,
            f"{found}; refused: {counted(len(contents.refused), 'key')}",
            f"upload by another name: {contents.refused[0]}",
        )
    return ok(name, found)


def judge_reading(error: ModelSyncError | None, key: str) -> Finding:
    """Judge whether an object can be read. `error`: what became of a read of one byte; None: it came."""
    name = "reading"
    if error is None:
        return ok(name, f"GetObject is allowed: tried on {quoted(key)}")
    if _is_denied(error):
        advice = "allow s3:GetObject below the prefix, and kms:Decrypt on the key if the objects are encrypted with one"
        return failed(name, parted(error)[0], advice)
    return failure(name, error, _AGAIN)


def judge_checksums(details: ObjectDetails | ModelSyncError) -> Finding:
    """Judge what proves that a file arrived as it was uploaded. `details`: of one weight file."""
    name = "checksums"
    if isinstance(details, ModelSyncError):
        return skipped(name, f"not known: {details}")
    proof = expected(details)
    if proof.proof is Proof.SIZE:
        return warning(
            name,
            "S3 has no checksum of a weight file: its bytes can be held against nothing but their number",
            "upload with a checksum (modelsync push and current SDKs do), or with a commit file",
        )
    return ok(name, f"a weight file tried can be proven by {proof.label}")


def judge_uploads(seen: int | ModelSyncError, server: str = "") -> Finding:
    """Judge whether uploads in progress can be seen. `seen`: how many there are; `server`: what S3 calls itself."""
    name = "uploads"
    if not isinstance(seen, ModelSyncError) and server.lower().startswith("minio"):
        return warning(
            name,
            "MinIO lists uploads in progress by their exact key only: models without a commit file are published after"
            " SETTLE_SECONDS alone, even while a file of theirs is uploaded",
            "upload commit files (modelsync push does), or set SETTLE_SECONDS to more than an upload takes",
        )
    if not isinstance(seen, ModelSyncError):
        return ok(name, f"uploads in progress can be seen: {seen} now")
    if not isinstance(seen, NotOffered):
        return skipped(name, f"not known: {seen}")
    return warning(
        name,
        f"{seen}: models without a commit file are published after SETTLE_SECONDS alone, even while a file"
        " of theirs is uploaded",
        "allow s3:ListBucketMultipartUploads on the bucket, or upload commit files (modelsync push does)",
    )


def judge_versioning(status: str | ModelSyncError) -> Finding:
    """Tell whether the bucket keeps old versions; that is for information."""
    name = "versioning"
    if isinstance(status, NotOffered):
        return skipped(name, "not known, and not needed", "allow s3:GetBucketVersioning to see it here")
    if isinstance(status, ModelSyncError):
        return skipped(name, f"not known: {status}")
    if status == "Enabled":
        return ok(name, "on: the bucket keeps what uploads overwrite")
    return ok(name, "off: what an upload overwrites is gone from the bucket, and old revisions are on the volume alone")


def _is_denied(error: ModelSyncError) -> bool:
    return isinstance(error, StoreDenied) and " AccessDenied " in str(error)

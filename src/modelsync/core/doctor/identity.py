"""Who asks, and by which clock."""

from __future__ import annotations

from dataclasses import dataclass

from modelsync.core.doctor.findings import Finding, failed, failure, ok, skipped, warning
from modelsync.core.words import duration, moment
from modelsync.errors import CredentialsRefused, ModelSyncError, StoreDenied, StoreUnavailable

CLOCK_WARNING_SECONDS = 60.0
CLOCK_FAILED_SECONDS = 900.0  # S3 refuses requests that are further off
_SOON_SECONDS = 600.0
_SOURCES = {
    "env": "the environment (AWS_ACCESS_KEY_ID)",
    "assume-role": "a role that a profile assumes",
    "assume-role-with-web-identity": "a role by web identity (IRSA)",
    "shared-credentials-file": "the shared credentials file",
    "config-file": "the AWS configuration file",
    "container-role": "the container's agent (EKS Pod Identity or ECS)",
    "iam-role": "the instance's role (instance metadata)",
    "custom-process": "a profile's credential_process",
    "sso": "a profile's single sign-on",
}
_SKEWED = "RequestTimeTooSkewed"


@dataclass(frozen=True, slots=True)
class Identity:
    """Credentials, without any secret.

    Attributes:
        method: where they come from, in botocore's word.
        session: they are a session's, and so end.
        ends_at: when, in seconds since the epoch; None: not known, or never.
    """

    method: str
    session: bool
    ends_at: float | None


def judge_credentials(identity: Identity | ModelSyncError, now: float) -> Finding:
    """Judge where credentials come from, and whether they last."""
    name = "credentials"
    if isinstance(identity, ModelSyncError):
        return failure(name, identity, "look at the pod's role and at the way to where its credentials come from")
    found = f"from {_SOURCES.get(identity.method, f'the source {identity.method!r}')}"
    if identity.ends_at is not None:
        found += f", until {moment(identity.ends_at)}"
        if identity.ends_at - now < _SOON_SECONDS:
            return warning(
                name, f"{found}: they were not renewed", "look at the pod's role and the way to its credentials"
            )
        return ok(name, f"{found}; they are renewed before that")
    if identity.session:
        return warning(
            name,
            f"{found}, with a session token: they end at a time that is not known, and nothing renews them",
            "give the pod a role (IRSA or EKS Pod Identity); session tokens in variables are for trials",
        )
    return ok(name, f"{found}; they do not end")


def judge_signature(listing: ModelSyncError | None) -> Finding:
    """Judge whether S3 takes our signature.

    Args:
        listing: what became of a signed request; None: it was answered.
    """
    name = "signature"
    if listing is None:
        return ok(name, "S3 knows the access key and takes the signature")
    if refuses_signature(listing):
        return failure(name, listing, "check the access key and its secret")
    if isinstance(listing, StoreDenied):
        return ok(name, "S3 takes the signature, and refuses the request for want of a permission")
    if isinstance(listing, StoreUnavailable):
        return skipped(name, "not known: S3 did not answer a signed request")
    return skipped(name, "not known before the bucket is found")


def refuses_signature(error: ModelSyncError) -> bool:
    """Whether S3 took the credentials, or the time that they signed, for no good."""
    return isinstance(error, CredentialsRefused) or _SKEWED in str(error)


def judge_clock(skew_seconds: float | None) -> Finding:
    """Judge the clock of this machine: how many seconds it is ahead of S3's; None: S3 did not tell the time."""
    name = "clock"
    if skew_seconds is None:
        return skipped(name, "S3 did not tell the time")
    if abs(skew_seconds) <= CLOCK_WARNING_SECONDS:
        return ok(name, "no more than a minute apart from S3's")
    found = f"{duration(abs(skew_seconds))} {'ahead of' if skew_seconds > 0 else 'behind'} S3's"
    if abs(skew_seconds) <= CLOCK_FAILED_SECONDS:
        return warning(name, found, "set it by NTP: from 15 minutes on S3 refuses every request")
    return failed(name, found, "set it by NTP: S3 refuses requests that are more than 15 minutes off")

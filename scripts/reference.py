"""Writes docs/configuration.md and docs/metrics.md from the code."""

from __future__ import annotations

from pathlib import Path

from modelsync.config.load import effective, load
from modelsync.telemetry.metrics import TABLE

DOCS = Path(__file__).parent.parent / "docs"


def configuration() -> str:
    """The page of variables."""
    text = (
        "# Configuration\n\nMade by `make docs` from `src/modelsync/config/settings.py`.\n\n"
        "Everything is set by environment variables. All bad values are reported together at start, with exit code 2;"
        " `modelsync config` shows what is in effect.\n\n| variable | default | meaning |\n|---|---|---|\n"
    )
    for row in effective(load({"S3_BUCKET_NAME": "example"})):
        default = "required" if row.name == "S3_BUCKET_NAME" else f"`{row.value}`" if row.value else ""
        text += f"| `{row.name}` | {default} | {row.meaning} |\n"
    text += (
        "| `SQS_<NAME>_QUEUE_URL` | | A queue with the bucket's events; any number of them, one consumer each."
        " Without one there is only the periodic comparison. |\n\n"
        "AWS credentials come from botocore's standard chain: environment, web identity (IRSA), profiles, container"
        " credentials (ECS, EKS Pod Identity), instance metadata. `AWS_CA_BUNDLE`, `SSL_CERT_FILE`, `HTTP_PROXY`,"
        " `HTTPS_PROXY` and `NO_PROXY` are heeded; [aws.md](aws.md) says how. Unknown `MODELSYNC_*` names are typing"
        " errors and refused.\n"
    )
    return text


def metrics() -> str:
    """The page of metrics."""
    text = (
        "# Metrics\n\nMade by `make docs` from the table in `src/modelsync/telemetry/metrics.py`.\n\n"
        "| name | type | unit | labels | stability | meaning |\n|---|---|---|---|---|---|\n"
    )
    for spec in TABLE:
        labels = ", ".join(f"`{label}`" for label in spec.labels)
        text += f"| `{spec.name}` | {spec.kind} | {spec.unit} | {labels} | {spec.stability} | {spec.help} |\n"
    return text


PAGES = {"configuration.md": configuration, "metrics.md": metrics}


def main() -> None:
    for name, make in PAGES.items():
        (DOCS / name).write_text(make())


if __name__ == "__main__":
    main()

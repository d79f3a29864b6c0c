"""The commands' names and options, and how errors become exit codes."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Annotated

import typer

from modelsync import __version__
from modelsync.errors import ConfigurationError, ModelSyncError

FAILED = 1
MISUSED = 2
SOME_FAILED = 3

app = typer.Typer(
    name="modelsync",
    help="Keeps AI models on a shared volume in step with S3.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Url = Annotated[str | None, typer.Option("--url", help="A worker's HTTP interface; MODELSYNC_URL if not given.")]


def _version(value: bool) -> None:  # noqa: FBT001 - typer's signature
    if value:
        typer.echo(f"modelsync {__version__}")
        raise typer.Exit


@app.callback()
def root(
    *,
    _version_asked: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Keeps AI models on a shared volume in step with S3."""


@app.command()
def run() -> None:
    """Run the service: events, periodic comparison, HTTP interface. Configured by environment variables."""
    from modelsync.cli.serve import run_service

    run_service()


@app.command()
def sync(
    models: Annotated[list[str] | None, typer.Argument(help="Models to sync; all if none is named.")] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and why; do nothing.")] = False,
    recheck: Annotated[bool, typer.Option("--recheck", help="Fetch and check again what was refused.")] = False,
    json: Json = False,
) -> None:
    """Sync once and end: for init containers and cron. Exits 3 if some models failed."""
    from modelsync.cli.once import preview_once, sync_once

    if recheck and dry_run:
        raise ConfigurationError("--recheck does not go with --dry-run: it forgets what was refused")
    names = models or []
    raise typer.Exit(preview_once(names, json=json) if dry_run else sync_once(names, recheck=recheck, json=json))


@app.command()
def verify(
    models: Annotated[list[str] | None, typer.Argument(help="Models to verify; all if none is named.")] = None,
    *,
    repair: Annotated[bool, typer.Option("--repair", help="Build what is damaged anew from S3, and switch.")] = False,
    rate: Annotated[
        int, typer.Option("--rate", min=0, metavar="BYTES_PER_SECOND", help="Read no faster than this; 0: no bound.")
    ] = 0,
    json: Json = False,
) -> None:
    """Read all that is published and hold it against its checksums. Exits 3 if models are damaged and not repaired."""
    from modelsync.cli.verify import verify_models

    raise typer.Exit(verify_models(models or [], repair=repair, rate=rate, json=json))


@app.command()
def push(
    directory: Annotated[Path, typer.Argument(help="The voice's files.")],
    model: Annotated[str, typer.Argument(help="The model's name in the bucket.")],
    *,
    sign: Annotated[
        Path | None, typer.Option("--sign", metavar="KEY", help="Sign it with the private key in this PEM file.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be uploaded, and why; upload nothing.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until a worker has published it.")] = False,
    timeout: Annotated[float, typer.Option(min=0, help="Longest wait, in seconds.")] = 600.0,
    url: Url = None,
    json: Json = False,
) -> None:
    """Upload a voice: its files, then the commit file that makes them one version. Safe to interrupt and repeat."""
    from modelsync.cli.push import push_once

    wait_seconds = timeout if wait else None
    raise typer.Exit(
        push_once(directory, model, sign=sign, dry_run=dry_run, wait_seconds=wait_seconds, url=url, json=json)
    )


@app.command()
def status(
    model: Annotated[str | None, typer.Argument(help="One model; all if none is named.")] = None,
    *,
    url: Url = None,
    json: Json = False,
) -> None:
    """Show what readers see of each model, and why that is not what the bucket has, if so. Needs no AWS."""
    from modelsync.cli.status import show_status

    show_status(model, url=url, json=json)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def wait(context: typer.Context) -> None:
    """Wait until models are published: for the init containers of applications. Needs the volume alone."""
    from modelsync.client.command import main as wait_for_models

    raise typer.Exit(wait_for_models(["wait", *context.args]))


@app.command("gc")
def collect(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say of each revision what would become of it.")] = False,
    json: Json = False,
) -> None:
    """Remove revisions that no rule keeps, as the service does by itself. Needs no AWS."""
    from modelsync.cli.collect import collect_once

    raise typer.Exit(collect_once(dry_run=dry_run, json=json))


@app.command()
def rollback(
    model: Annotated[str, typer.Argument(help="The model.")],
    *,
    to: Annotated[
        str | None, typer.Option("--to", metavar="REVISION", help="Its name, or the first 6 or more characters of it.")
    ] = None,
    json: Json = False,
) -> None:
    """Switch readers to an earlier revision, the one before if none is named, and pin the model to it."""
    from modelsync.cli.rollback import roll_back

    raise typer.Exit(roll_back(model, to, json=json))


@app.command()
def pin(
    model: Annotated[str, typer.Argument(help="The model.")],
    *,
    reason: Annotated[str | None, typer.Option("--reason", help="Why, for people.")] = None,
    json: Json = False,
) -> None:
    """Keep what readers of a model see now, whatever the bucket has."""
    from modelsync.cli.rollback import pin_model

    raise typer.Exit(pin_model(model, reason, json=json))


@app.command()
def unpin(model: Annotated[str, typer.Argument(help="The model.")], *, json: Json = False) -> None:
    """Let the bucket decide again what readers of a model see, and sync it."""
    from modelsync.cli.rollback import unpin_model

    raise typer.Exit(unpin_model(model, json=json))


@app.command()
def doctor(*, json: Json = False) -> None:
    """Say what is wrong with credentials, bucket, queues, notification and volume, and what to do. Changes nothing."""
    from modelsync.cli.doctor import examine

    raise typer.Exit(examine(json=json))


@app.command()
def config(*, json: Json = False) -> None:
    """Show the effective configuration, without secrets."""
    from modelsync.cli.show import show_config

    show_config(json=json)


@app.command()
def demo(
    directory: Annotated[
        Path | None, typer.Argument(help="Where the models go; a temporary directory if none is named.")
    ] = None,
    *,
    once: Annotated[bool, typer.Option("--once", help="End after the show.")] = False,
) -> None:
    """Show the main job on this machine, without AWS: an embedded S3 and SQS, a worker, a reader."""
    from modelsync.demo import run_demo

    raise typer.Exit(run_demo(directory, once=once))


def main() -> None:
    """Run the command line; errors of ours become one sentence and an exit code."""
    # Listings bring much that lives briefly and in no cycles: to look for cycles after each 700 takes a tenth longer.
    gc.set_threshold(50_000)
    try:
        app(prog_name="modelsync")
    except ConfigurationError as error:
        for problem in error.problems:
            sys.stderr.write(f"modelsync: {problem}\n")
        sys.exit(MISUSED)
    except ModelSyncError as error:
        sys.stderr.write(f"modelsync: {error}\n")
        sys.exit(FAILED)

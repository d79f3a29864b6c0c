"""Whom notices go to, and the operator's hooks, put together as the settings say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from modelsync.adapters.clock import SystemClock
from modelsync.app.supervisor import Supervisor
from modelsync.app.teller import Teller
from modelsync.config import Settings, options
from modelsync.core.names import ModelId
from modelsync.core.notices import Notice
from modelsync.core.status import ModelStatus
from modelsync.ports import Observer
from modelsync.ports.telling import PublishHook, Receiver

_FLUSH_SECONDS = 10.0


def build_teller(
    settings: Settings,
    observe: Observer,
    heard: Callable[[Notice], None] = lambda _: None,
    known: Callable[[], Mapping[ModelId, ModelStatus]] | None = None,
) -> Teller:
    """Put the receivers together; nothing runs yet.

    Args:
        settings: who is to be told.
        observe: told what became of the notices.
        heard: called with every notice.
        known: what readers see, in a process that compares.

    Raises:
        ConfigurationError: one of them cannot be.
    """
    receivers: list[Receiver] = []
    if settings.notify_webhook_urls:
        from modelsync.adapters.webhook import Webhook

        receivers += [Webhook(one) for one in options.webhooks(settings)]
    if settings.notify_exec is not None:
        from modelsync.adapters.hooks import ExecReceiver

        command = options.command(settings, settings.notify_exec)
        receivers.append(ExecReceiver(command, options.origin(settings), observe))
    if settings.kubernetes_notify != "off":
        from modelsync.adapters.cluster import Cluster, ClusterOptions

        chosen = ClusterOptions(settings.kubernetes_notify, settings.kubernetes_selector or "")
        receivers.append(Cluster(chosen, SystemClock(), observe))
    return Teller(receivers, clock=SystemClock(), observe=observe, heard=heard, known=known)


@contextmanager
def telling(settings: Settings, observe: Observer) -> Iterator[Teller]:
    """A teller for as long as a command runs; at its end, what waits is handed over within a bounded time.

    Raises:
        ConfigurationError: one of the receivers cannot be.
    """
    teller = build_teller(settings, observe)
    supervisor = Supervisor(SystemClock(), on_failure=lambda _: None)
    teller.start(supervisor)
    try:
        yield teller
    finally:
        teller.finish(supervisor, _FLUSH_SECONDS)


def publish_hook(settings: Settings, observe: Observer) -> PublishHook | None:
    """Who has the last word before a revision is published, if anybody."""
    if settings.publish_hook is None:
        return None
    from modelsync.adapters.hooks import CommandHook

    return CommandHook(options.command(settings, settings.publish_hook), observe)

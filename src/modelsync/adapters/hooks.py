"""The operator's commands as a receiver of notices, and as the one who has the last word before publication."""

from __future__ import annotations

from modelsync.adapters.command import CommandOptions, Ended, run
from modelsync.core.facts import HookRan
from modelsync.core.names import ModelId
from modelsync.core.notices import Notice, Origin, cloud_event, hook_variables
from modelsync.core.objects import Revision
from modelsync.errors import HookFailed, NoticeRefused, Rejected
from modelsync.ports import Observer
from modelsync.ports.telling import Attend

_SAID_CHARACTERS = 300


class ExecReceiver:
    """Implements `ports.telling.Receiver`: runs a command for each notice, once, whatever its exit code."""

    name = "exec"

    def __init__(self, command: CommandOptions, origin: Origin, observe: Observer) -> None:
        self._command = command
        self._origin = origin
        self._observe = observe

    def tell(self, notice: Notice, attend: Attend) -> None:
        """Run the command."""
        variables = hook_variables(notice, self._origin)
        ended = run(self._command, variables, cloud_event(notice, self._origin), attend)
        self._observe(HookRan("notify", notice.model, ended.outcome, ended.code, ended.seconds, ended.output))
        if ended.outcome != "ok":
            raise NoticeRefused(f"NOTIFY_EXEC {_told(ended, self._command)}")


class CommandHook:
    """Implements `ports.telling.PublishHook` by a command."""

    def __init__(self, command: CommandOptions, observe: Observer) -> None:
        self._command = command
        self._observe = observe

    def vet(self, model: ModelId, revision: Revision, directory: str, attend: Attend) -> None:
        """Run the command on the directory: an exit code but 0 refuses the revision."""
        document = {"event": "publish", "model": model, "revision": revision, "path": directory}
        variables = {f"MODELSYNC_{name.upper()}": value for name, value in document.items()}
        ended = run(self._command, variables, document, attend)
        self._observe(HookRan("publish", model, ended.outcome, ended.code, ended.seconds, ended.output))
        if ended.outcome == "failed" and (ended.code or 0) > 0:
            raise Rejected("hook", f"PUBLISH_HOOK {_told(ended, self._command)}")
        if ended.outcome != "ok":
            raise HookFailed(f"PUBLISH_HOOK {_told(ended, self._command)}")


def _told(ended: Ended, command: CommandOptions) -> str:
    said = f": {ended.output[-_SAID_CHARACTERS:]}" if ended.output else ""
    match ended.outcome:
        case "timeout":
            return f"did not end within {command.timeout_seconds:g} s{said}"
        case "not_started":
            return f"cannot be started{said}"
        case _ if ended.code is not None and ended.code < 0:
            return f"was ended by signal {-ended.code}{said}"
        case _:
            return f"ended with exit code {ended.code}{said}"

"""Notices by HTTP, to receivers that work and to receivers that do not."""

from __future__ import annotations

import base64
import json
import re
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from fakes.clock import VirtualClock
from fakes.loopback import Answer
from fakes.receivers import RawServer, WebhookReceiver, babble, drip, flood, hang
from modelsync.adapters.s3.http1 import Timeouts
from modelsync.adapters.webhook import Webhook, WebhookOptions, key_of
from modelsync.app.outbox import OutboxOptions
from modelsync.app.supervisor import Supervisor
from modelsync.app.teller import Teller
from modelsync.core import facts
from modelsync.core.facts import Fact
from modelsync.core.names import ModelId
from modelsync.core.notices import Notice, Origin, notice_of
from modelsync.core.objects import Revision
from modelsync.errors import ConfigurationError, NoticeRefused, NotTold, Stopped
from modelsync.ports.telling import Attend, Receiver
from support.worker import until

ORIGIN = Origin("s3://models/", "/models")
DOCS = Path(__file__).parents[2] / "docs" / "notifications.md"


def published(number: int = 0) -> facts.Published:
    return facts.Published(
        ModelId(f"alice-{number}"), Revision("1" * 32), "s", None, 2, 10, 1_700_000_000.0, None, "why"
    )


def notice(number: int = 0) -> Notice:
    made = notice_of(published(number), 0.0)
    assert made is not None
    return made


def webhook(url: str, **more: Any) -> Webhook:
    extra = {name: more.pop(name) for name in ("resolve", "now") if name in more}
    timeouts = Timeouts(connect=0.5, read=0.3, crawl=0.5)
    options = WebhookOptions("webhook-1", url, "http://receiver/…", ORIGIN, **({"timeouts": timeouts} | more))
    return Webhook(options, **extra)


def tell(url: str, **more: Any) -> None:
    webhook(url, **more).tell(notice(), lambda: None)


def test_a_notice_is_a_cloud_event_in_structured_mode() -> None:
    with WebhookReceiver() as receiver:
        tell(f"{receiver.url}/hooks/a b?token=t%20k")
    (request,) = receiver.seen
    assert (request.method, request.target) == ("POST", "/hooks/a%20b?token=t%20k")
    assert request.headers["content-type"] == "application/cloudevents+json"
    assert request.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert "webhook-signature" not in request.headers
    event = json.loads(request.body)
    assert (event["type"], event["subject"]) == ("io.modelsync.model.published", "alice-0")
    assert request.headers["webhook-id"] == event["id"] == notice().id


def verify_of_the_docs() -> Callable[..., None]:
    """The snippet that docs/notifications.md gives to receivers."""
    code = re.search(r"```python\n(.*?def verify.*?)```", DOCS.read_text(), re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    exec(code[1], names)
    verify: Callable[..., None] = names["verify"]
    return verify


@pytest.mark.parametrize("secret", ["a plain secret", f"whsec_{base64.b64encode(b'k' * 24).decode()}"])
def test_the_snippet_in_the_docs_verifies_what_is_sent_and_nothing_else(secret: str) -> None:
    verify = verify_of_the_docs()
    with WebhookReceiver() as receiver:
        tell(receiver.url, key=key_of(secret))
        tell(receiver.url, key=key_of(secret), now=lambda: time.time() - 3600)
    fresh, old = receiver.seen
    verify(fresh.headers, fresh.body, secret)
    for headers, body, key in (
        (fresh.headers, fresh.body + b" ", secret),
        (fresh.headers, fresh.body, "another secret"),
        ({**fresh.headers, "webhook-id": "other"}, fresh.body, secret),
        ({**fresh.headers, "webhook-signature": "v1,AAAA"}, fresh.body, secret),
        (old.headers, old.body, secret),
    ):
        with pytest.raises(ValueError, match=r"signature|timestamp"):
            verify(headers, body, key)


def test_a_user_in_the_address_becomes_basic_authorization() -> None:
    with WebhookReceiver() as receiver:
        tell(receiver.url.replace("http://", "http://us%20er:pass@"))
    assert receiver.seen[0].headers["authorization"] == f"Basic {base64.b64encode(b'us er:pass').decode()}"


@pytest.mark.parametrize("status", [400, 401, 404, 408, 410, 422])
def test_what_a_receiver_will_not_have_is_not_tried_again(status: int) -> None:
    with WebhookReceiver(Answer(status)) as receiver, pytest.raises(NoticeRefused, match=str(status)):
        tell(receiver.url)


@pytest.mark.parametrize(
    ("headers", "pause"),
    [
        ({}, 0.0),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "Tue, 14 Nov 2023 22:13:30 GMT"}, 10.0),
        ({"Retry-After": "Tue, 14 Nov 2022 22:13:30 GMT"}, 0.0),
        ({"Retry-After": "soon"}, 0.0),
        ({"Retry-After": "-5"}, 0.0),
    ],
)
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_receiver_that_fails_is_to_be_tried_again_when_it_says(
    status: int, headers: dict[str, str], pause: float
) -> None:
    with (
        WebhookReceiver(Answer(status, headers=headers)) as receiver,
        pytest.raises(NotTold, match=str(status)) as told,
    ):
        tell(receiver.url, now=lambda: 1_700_000_000.0)
    assert told.value.pause_seconds == pause


def test_redirects_are_not_followed() -> None:
    with WebhookReceiver() as elsewhere:
        target = Answer(307, headers={"Location": f"{elsewhere.url}/x"})
        with WebhookReceiver(target) as receiver, pytest.raises(NoticeRefused, match="redirects are not followed"):
            tell(receiver.url)
        assert not elsewhere.seen


@pytest.mark.parametrize("serve", [hang, drip, babble])
def test_a_receiver_without_a_whole_answer_costs_a_bounded_time(serve: Callable[..., None]) -> None:
    start = time.monotonic()
    with RawServer(serve) as server:
        with pytest.raises(NotTold, match="no answer") as told:
            tell(server.url, total_seconds=1.0)
        assert time.monotonic() - start < 3
    assert "\x1b" not in str(told.value)


def test_the_total_time_is_bounded_whatever_the_time_outs_say() -> None:
    start = time.monotonic()
    with RawServer(drip) as server, pytest.raises(NotTold, match="no answer"):
        tell(server.url, total_seconds=0.5, timeouts=Timeouts(connect=20, read=20, crawl=20))
    assert time.monotonic() - start < 5


def test_of_an_answer_without_end_nothing_but_its_head_is_read() -> None:
    with RawServer(flood) as server:
        tell(server.url)


def test_nobody_there_is_told_without_the_secrets_of_the_address() -> None:
    with pytest.raises(NotTold) as told:
        tell("http://user:password@127.0.0.1:9/secret?token=secret")
    assert "refused" in str(told.value)
    assert "secret" not in str(told.value)
    assert "secret" not in repr(WebhookOptions("webhook-1", "http://h/secret", "http://h/…", ORIGIN, b"secret"))


def test_a_name_is_looked_up_anew_and_what_it_leads_to_is_judged_each_time() -> None:
    with WebhookReceiver() as receiver:
        answers = [["127.0.0.1"], ["169.254.169.254"], ["fd00:ec2::254"], ["169.254.169.254", "127.0.0.1"]]
        asked: list[tuple[str, int]] = []

        def rebinding(host: str, port: int) -> list[str]:
            asked.append((host, port))
            return answers.pop(0)

        made = webhook(f"http://rebinding.example:{receiver.port}/", resolve=rebinding)
        made.tell(notice(), lambda: None)
        for reason in ("link-local", "metadata"):
            with pytest.raises(NotTold, match=f"{reason}.*NOTIFY_ALLOW_LINK_LOCAL"):
                made.tell(notice(), lambda: None)
        made.tell(notice(), lambda: None)
        assert asked == [("rebinding.example", receiver.port)] * 4, "one look for each attempt: nobody looks again"
    assert len(receiver.seen) == 2
    assert receiver.seen[0].headers["host"] == f"rebinding.example:{receiver.port}"


def test_what_is_refused_can_be_allowed() -> None:
    """0.0.0.0 leads to this very machine, and is refused like link-local addresses."""
    with WebhookReceiver() as receiver:
        url = f"http://0.0.0.0:{receiver.port}/"
        with pytest.raises(NotTold, match="no host's address"):
            tell(url)
        assert not receiver.connections
        tell(url, link_local=True)
    assert len(receiver.seen) == 1


def test_proxies_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with WebhookReceiver() as receiver:
        tell(receiver.url)
    assert len(receiver.seen) == 1


def test_a_name_that_nobody_looks_up_holds_the_receiver_up_for_a_bounded_time() -> None:
    answers, lookups, attended = threading.Event(), [], []

    def look(*_: object) -> list[str]:
        lookups.append(1)
        answers.wait(30)
        return ["127.0.0.1"]

    with WebhookReceiver() as receiver:
        made = webhook(receiver.url, resolve=look, lookup_seconds=0.1)
        for _ in range(3):
            with pytest.raises(NotTold, match=r"the name was not looked up within 0\.1 s"):
                made.tell(notice(), lambda: attended.append(1))
        assert len(lookups) == 1, "one that hangs is not joined by others"
        assert len(attended) >= 6

        def ending() -> None:
            attended.append(1)
            if len(attended) > before + 1:
                raise Stopped("ending")

        before = len(attended)
        with pytest.raises(Stopped):
            webhook(receiver.url, resolve=look, lookup_seconds=60.0).tell(notice(), ending)
        lookups.clear()
        answers.set()
        until(lambda: _told(made), "the lookup's end")
        made.tell(notice(), lambda: None)
        assert len(lookups) == 1, "each attempt looks the name up"
    assert len(receiver.seen) == 2


def _told(receiver: Webhook) -> bool:
    try:
        receiver.tell(notice(), lambda: None)
    except NotTold:
        return False
    return True


def test_a_name_that_cannot_be_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="names no possible host"):
        webhook(f"http://{'x' * 70}.example/")
    with pytest.raises(NotTold):
        tell("http://no-such-host.invalid/")


def test_https_is_verified(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("receiver.example").configure_cert(tls)
    with WebhookReceiver(tls=tls) as receiver:
        url = f"https://receiver.example:{receiver.port}/"
        with pytest.raises(NotTold, match="certificate"):
            tell(url, resolve=lambda *_: ["127.0.0.1"])
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        tell(url, resolve=lambda *_: ["127.0.0.1"])
        with pytest.raises(NotTold, match="certificate"):
            tell(url.replace("receiver", "other"), resolve=lambda *_: ["127.0.0.1"])
    assert len(receiver.seen) == 1


# Queues, retries, breakers.


class Telling:
    """A teller with its threads."""

    def __init__(self, *receivers: Receiver, clock: Any = None, **bounds: Any) -> None:
        self.facts: list[Fact] = []
        clock = clock or VirtualClock()
        self.supervisor = Supervisor(clock, on_failure=lambda _: None)
        self.teller = Teller(receivers, clock=clock, observe=self.facts.append, options=OutboxOptions(**bounds))

    def start(self) -> None:
        self.teller.start(self.supervisor)

    def publish(self, *numbers: int) -> None:
        for number in numbers:
            self.teller(published(number))

    def finish(self, seconds: float = 0.0) -> None:
        self.teller.finish(self.supervisor, seconds)

    def settle(self, ended: int) -> None:
        """Wait until so many notices have come to their end, then end."""
        until(lambda: len(self.told(facts.NoticeTold) + self.told(facts.NoticeLost)) >= ended, "the notices' end")
        self.finish()

    def told(self, kind: type[Any]) -> list[Any]:
        return [fact for fact in self.facts if isinstance(fact, kind)]

    def health(self) -> list[tuple[str, str]]:
        return [(fact.status.value, fact.reason) for fact in self.told(facts.HealthChanged)]


class Scripted:
    """Implements `Receiver`: fails as it is told, then takes everything."""

    def __init__(self, *failures: Exception, name: str = "webhook-1 (http://h/…)") -> None:
        self.name = name
        self.failures = list(failures)
        self.took: list[str] = []

    def tell(self, notice: Notice, attend: Attend) -> None:
        attend()
        if self.failures:
            raise self.failures.pop(0)
        self.took.append(notice.model)


def test_notices_are_handed_over_in_order_with_one_id_whatever_fails() -> None:
    with WebhookReceiver(Answer(500), Answer(429), Answer(204)) as receiver:
        telling = Telling(webhook(receiver.url))
        telling.publish(1, 2)
        telling.start()
        telling.settle(2)
    assert [json.loads(request.body)["subject"] for request in receiver.seen] == ["alice-1"] * 3 + ["alice-2"]
    assert len({request.headers["webhook-id"] for request in receiver.seen}) == 2
    assert [fact.attempts for fact in telling.told(facts.NoticeTold)] == [3, 1]
    assert [fact.attempt for fact in telling.told(facts.NoticeDelayed)] == [1, 2]


def test_a_wait_that_the_receiver_asks_for_is_heeded_within_bounds() -> None:
    telling = Telling(Scripted(NotTold("busy", 40.0), NotTold("busy", 1e6)))
    telling.publish(1)
    telling.start()
    telling.settle(1)
    first, second = (fact.wait_seconds for fact in telling.told(facts.NoticeDelayed))
    assert (first, second) == (40.0, 60.0)


def test_what_is_refused_holds_up_nothing() -> None:
    receiver = Scripted(NoticeRefused("it answered 410"))
    telling = Telling(receiver)
    telling.publish(1, 2)
    telling.start()
    telling.settle(2)
    (lost,) = telling.told(facts.NoticeLost)
    assert (lost.model, lost.outcome, lost.reason) == ("alice-1", "refused", "it answered 410")
    assert receiver.took == ["alice-2"]


def test_a_receiver_that_fails_again_and_again_is_left_alone_and_health_says_so_until_it_answers() -> None:
    clock = VirtualClock()
    receiver = Scripted(*(NotTold("it answered 500") for _ in range(12)))
    telling = Telling(receiver, clock=clock)
    telling.publish(1, 2)
    telling.start()
    telling.settle(2)
    waits = [fact.wait_seconds for fact in telling.told(facts.NoticeDelayed)]
    assert all(wait < 30 for wait in waits[:4])
    assert all(wait >= 30 for wait in waits[4:])
    (lost,) = telling.told(facts.NoticeLost)
    assert (lost.outcome, lost.reason) == ("given_up", "10 attempts failed: it answered 500")
    assert receiver.took == ["alice-2"]
    health = telling.health()
    assert health[0] == health[-1] == ("healthy", "every receiver of notices can be told")
    reason = "webhook-1 (http://h/…): not tried for a while after 5 failures: it answered 500"
    assert ("degraded", reason) in health


def test_a_receiver_that_refuses_everything_degrades_health_until_it_takes_a_notice() -> None:
    telling = Telling(Scripted(*(NoticeRefused("it answered 404") for _ in range(4))))
    telling.publish(*range(5))
    telling.start()
    telling.settle(5)
    assert {reason for status, reason in telling.health() if status == "degraded"} == {
        "webhook-1 (http://h/…): it refused the last 3 notices: it answered 404",
        "webhook-1 (http://h/…): it refused the last 4 notices: it answered 404",
    }
    assert telling.health()[-1] == ("healthy", "every receiver of notices can be told")
    assert [fact.outcome for fact in telling.told(facts.NoticeLost)] == ["refused"] * 4


def test_the_oldest_notice_is_dropped_from_a_full_queue_and_that_is_told() -> None:
    receiver = Scripted()
    telling = Telling(receiver, waiting=2)
    telling.publish(1, 2, 3)
    (lost,) = telling.told(facts.NoticeLost)
    assert (lost.model, lost.outcome) == ("alice-1", "dropped")
    assert telling.health()[-1][0] == "degraded"
    assert "1 notices were dropped" in telling.health()[-1][1]
    telling.start()
    telling.settle(3)
    assert receiver.took == ["alice-2", "alice-3"]
    assert telling.health()[-1][0] == "healthy"


def test_a_slow_receiver_does_not_hold_up_another() -> None:
    with WebhookReceiver() as slow, WebhookReceiver() as quick:
        slow.hold()
        patient = Timeouts(connect=5, read=20, crawl=20)
        telling = Telling(webhook(slow.url, timeouts=patient), webhook(quick.url))
        telling.start()
        telling.publish(*range(20))
        until(lambda: len(quick.seen) == 20, "the quick one's notices")
        assert len(slow.seen) <= 1
        slow.go.set()
        telling.settle(40)
        assert len(slow.seen) == 20


def test_an_end_with_a_full_queue_and_a_receiver_that_hangs_takes_a_bounded_time() -> None:
    from modelsync.adapters.clock import SystemClock

    with RawServer(hang) as server:
        telling = Telling(webhook(server.url), clock=SystemClock(), waiting=50)
        telling.start()
        telling.publish(*range(60))
        start = time.monotonic()
        telling.finish(0.2)
        assert time.monotonic() - start < 4
        until(lambda: len(telling.told(facts.NoticeLost)) >= 60, "every notice to be accounted for")
    assert len({fact.notice_id for fact in telling.told(facts.NoticeLost)}) == 60
    assert {fact.outcome for fact in telling.told(facts.NoticeLost)} == {"dropped"}


def test_facts_that_nobody_is_told_of_make_no_notice() -> None:
    receiver = Scripted()
    telling = Telling(receiver)
    telling.teller(facts.BytesFetched(ModelId("a"), "s", 1))
    telling.start()
    telling.finish()
    assert not receiver.took

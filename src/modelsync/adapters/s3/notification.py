"""Where a bucket sends its events, from S3's XML."""

from __future__ import annotations

from modelsync.adapters.s3.xml import parse
from modelsync.core.doctor.notification import Notification, Rule
from modelsync.errors import NotOffered

_ROOTS = {"NotificationConfiguration", "GetBucketNotificationResponse"}  # the latter is moto's, where there is none
_DESTINATIONS = {  # of a bucket's events: element, the one in it with the name, and our word
    "QueueConfiguration": ("Queue", "queue"),
    "TopicConfiguration": ("Topic", "topic"),
    "CloudFunctionConfiguration": ("CloudFunction", "function"),
}


def parse_notification(data: bytes) -> Notification:
    """Read an answer of GetBucketNotificationConfiguration.

    Raises:
        StoreUnavailable: it is no XML, or breaks off.
        NotOffered: it is something else.
    """
    if not data.strip():
        return Notification()  # some emulators' way to say that there is none
    rules: list[Rule] = []
    events: list[str] = []
    said: dict[str, str] = {}
    bridges: list[str] = []

    def end(path: tuple[str, ...], text: str) -> None:
        match path:
            case (_, element, "Event") if element in _DESTINATIONS:
                events.append(text)
            case (_, _, "Filter", "S3Key", "FilterRule", "Name"):
                said["filter"] = text.lower()
            case (_, _, "Filter", "S3Key", "FilterRule", "Value"):
                said[said.get("filter", "")] = text
            case (_, element, name) if element in _DESTINATIONS and name == _DESTINATIONS[element][0]:
                said["arn"] = text
            case (_, element) if element in _DESTINATIONS:
                kind = _DESTINATIONS[element][1]
                prefix, suffix = said.get("prefix", ""), said.get("suffix", "")
                rules.append(Rule(kind, said.get("arn", ""), tuple(events), prefix, suffix))
                events.clear()
                said.clear()
            case (_, "EventBridgeConfiguration"):
                bridges.append(text)

    if parse(data, end) not in _ROOTS:
        raise NotOffered("S3 answered with something else: it does not know where a bucket's events go")
    return Notification(tuple(rules), bool(bridges))

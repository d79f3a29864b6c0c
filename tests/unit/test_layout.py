"""What a model's link says."""

from __future__ import annotations

import pytest

from modelsync.core.layout import Linked, read_link
from modelsync.core.names import ModelId

ALICE = ".modelsync/models/alice/revisions/3f9a"


@pytest.mark.parametrize(
    ("model", "target", "linked"),
    [
        ("alice", f"{ALICE}/files", Linked("3f9a", None)),
        ("alice", f"{ALICE}.2/files", Linked("3f9a.2", None)),
        ("solo.onnx", ".modelsync/models/solo.onnx/revisions/3f9a/files/solo.onnx", Linked("3f9a", "solo.onnx")),
        ("de/alice", "../.modelsync/models/de%2Falice/revisions/3f9a/files", Linked("3f9a", None)),
        ("bob", f"{ALICE}/files", None),
        ("alice", f"{ALICE}/staging", None),
        ("alice", ALICE, None),
        ("alice", ".modelsync/models/alice/revisions/../files", None),
        ("alice", f"{ALICE}/files/../../../../secret", None),
        ("alice", "/etc", None),
        ("alice", "", None),
    ],
)
def test_a_link_is_read_only_if_it_is_one_of_ours(model: str, target: str, linked: Linked | None) -> None:
    assert read_link(ModelId(model), target) == linked


def test_a_directory_that_was_built_anew_has_the_revision_before_the_dot() -> None:
    assert Linked("3f9a.2", None).revision == "3f9a"

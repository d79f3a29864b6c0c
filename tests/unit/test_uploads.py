"""Which upload in progress holds a model back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from modelsync.core.names import ModelId, Naming
from modelsync.core.objects import Upload
from modelsync.core.uploads import uploading
from modelsync.core.words import moment

NOW = 1_700_000_000.0
ALICE = ModelId("alice")


def found(*uploads: Upload, model: str = "alice", naming: Naming | None = None) -> str | None:
    return uploading(uploads, ModelId(model), naming or Naming(prefix="v/"), s3_now=NOW, stale_seconds=100)


def test_an_upload_of_a_file_of_the_model_is_named() -> None:
    reason = found(Upload("v/alice/de/model.onnx", NOW - 100))
    assert reason == "an upload of 'v/alice/de/model.onnx' is in progress since 2023-11-14 22:11:40 UTC"


@pytest.mark.parametrize(
    "upload",
    [
        Upload("v/alice/model.onnx", NOW - 101),
        Upload("v/alice/notes.pdf", NOW),
        Upload("v/bob/model.onnx", NOW),
        Upload("v/../model.onnx", NOW),
        Upload("elsewhere/alice/model.onnx", NOW),
    ],
    ids=["abandoned", "never published", "another model", "no model", "outside the prefix"],
)
def test_others_do_not_count(upload: Upload) -> None:
    assert found(upload) is None


def test_neighbours_of_a_lone_object_do_not_count() -> None:
    neighbour = Upload("v/solo.onnx-2/model.onnx", NOW)
    assert found(neighbour, model="solo.onnx") is None
    assert found(neighbour, Upload("v/solo.onnx", NOW), model="solo.onnx") is not None


def test_no_more_is_read_than_needed() -> None:
    def endless() -> Iterator[Upload]:
        yield Upload("v/alice/a.json", NOW)
        raise AssertionError("read too far")

    assert uploading(endless(), ALICE, Naming(prefix="v/"), s3_now=NOW, stale_seconds=100) is not None


@pytest.mark.parametrize("seconds", [-1e300, -1.0, 1e12, 1e300])
def test_a_time_that_cannot_be_is_told_all_the_same(seconds: float) -> None:
    assert moment(seconds).endswith("UTC")

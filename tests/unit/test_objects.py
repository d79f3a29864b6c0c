"""Snapshots, revisions and digests."""

from __future__ import annotations

import pytest

from modelsync.core import objects
from modelsync.core.names import ModelId, Naming, Refused
from modelsync.core.objects import Gathered, RemoteObject, gather, gather_all, revision_of

NAMING = Naming()
ALICE = ModelId("alice")


def remote(key: str, content: str = "x", size_bytes: int = 1) -> RemoteObject:
    return RemoteObject(key, size_bytes, content, 0.0)


def test_a_model_is_its_weights_companions_and_commit_file() -> None:
    keys = ["alice/b.onnx", "alice/a.json", "alice/modelsync.json", "alice/x.pdf", "bob/m.onnx"]
    snapshot = gather(ALICE, map(remote, keys), NAMING)
    assert snapshot is not None
    assert [file.path for file in snapshot.files] == ["a.json", "b.onnx"]
    assert snapshot.commit == remote("alice/modelsync.json")
    assert snapshot.refused is None


def test_a_prefix_without_weights_is_no_model() -> None:
    assert gather(ALICE, [remote("alice/a.json")], NAMING) is None


def test_one_bad_key_holds_the_whole_model_back() -> None:
    snapshot = gather(ALICE, [remote("alice/m.onnx"), remote("alice/../x.onnx")], NAMING)
    assert snapshot is not None
    assert "'..'" in (snapshot.refused or "")


def test_a_model_of_bad_keys_alone_is_still_on_record() -> None:
    snapshot = gather(ALICE, [remote("alice//x.onnx")], NAMING)
    assert snapshot is not None
    assert snapshot.refused


def test_an_object_and_a_prefix_of_one_name_are_refused() -> None:
    model = ModelId("a.onnx")
    snapshot = gather(model, [remote("a.onnx"), remote("a.onnx/m.onnx")], NAMING)
    assert snapshot is not None
    assert "object and a prefix" in (snapshot.refused or "")


def test_a_lone_object_is_a_model_of_one_file() -> None:
    snapshot = gather(ModelId("a.onnx"), [remote("a.onnx"), remote("a.onnx2/m.onnx")], NAMING)
    assert snapshot is not None
    assert snapshot.single
    assert [file.path for file in snapshot.files] == ["a.onnx"]


def test_the_same_content_has_the_same_name_in_any_order() -> None:
    objects = [remote("alice/a.onnx"), remote("alice/b.onnx", "y")]
    one, other = gather(ALICE, objects, NAMING), gather(ALICE, objects[::-1], NAMING)
    assert one is not None
    assert other is not None
    assert revision_of(one.files) == revision_of(other.files)
    assert one.digest == other.digest


def test_any_change_of_path_size_or_etag_is_another_revision() -> None:
    base = remote("alice/a.onnx")
    names = {
        revision_of(found.files)
        for changed in (base, remote("alice/b.onnx"), base._replace(size_bytes=2), base._replace(etag="z"))
        if (found := gather(ALICE, [changed], NAMING))
    }
    assert len(names) == 4


def test_the_commit_file_changes_the_listing_but_not_the_revision() -> None:
    weights = remote("alice/a.onnx")
    without = gather(ALICE, [weights], NAMING)
    with_commit = gather(ALICE, [weights, remote("alice/modelsync.json")], NAMING)
    assert without is not None
    assert with_commit is not None
    assert without.digest != with_commit.digest
    assert revision_of(without.files) == revision_of(with_commit.files)


def test_a_new_signature_changes_the_listing_but_not_the_revision() -> None:
    weights, signature = remote("alice/a.onnx"), remote("alice/model.sig")
    listings = [
        gather(ALICE, [weights, *more], NAMING)
        for more in ([], [signature], [signature._replace(etag="z")], [remote("alice/modelsync.json")])
    ]
    found = [each for each in listings if each is not None]
    assert len({each.digest for each in found}) == 4
    assert len({revision_of(each.files) for each in found}) == 1
    assert all(each.newest == signature.last_modified for each in found)


def test_a_signature_alone_is_no_model_and_none_of_a_lone_object() -> None:
    assert gather(ALICE, [remote("alice/model.sig")], NAMING) is None
    lone = gather(ModelId("a.onnx"), [remote("a.onnx"), remote("a.onnx/model.sig")], NAMING)
    assert lone is not None
    assert lone.refused == "'a.onnx' is an object and a prefix at once"


def test_only_the_signature_of_the_model_itself_is_one() -> None:
    found = gather(ALICE, [remote("alice/a.onnx"), remote("alice/de/model.sig")], NAMING)
    assert found is not None
    assert (found.signature, [file.path for file in found.files]) == (None, ["a.onnx"])


def test_of_a_model_of_too_many_objects_nothing_is_kept_but_the_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "MOST_OBJECTS", 3)
    names = ["a.onnx", "b.json", "c.json", "model.sig", "modelsync.json", "x.pdf", "z.json"]
    listing = [remote(f"alice/{name}") for name in names] + [remote("bob/b.onnx")]
    wanted = [each.key for each in filter(objects.Wanted(ALICE, NAMING), listing)]
    assert wanted == [f"alice/{name}" for name in names[:4]], "one more than it may have, so that it shows"
    found = gather(ALICE, filter(objects.Wanted(ALICE, NAMING), listing), NAMING)
    assert found is not None
    assert (found.files, found.commit, found.signature) == ((), None, None)
    assert found.refused == "it has more than 3 objects: exclude it, or make several models of it"
    [all_of_it, bob] = [item for item in gather_all(listing, NAMING) if isinstance(item, Gathered)]
    assert all_of_it.snapshot == found, "a comparison says the same as the model's own listing"
    assert bob.snapshot is not None
    assert bob.snapshot.refused is None
    few = gather(ALICE, listing[:3], NAMING)
    assert few is not None
    assert few.refused is None


def test_a_listing_is_split_into_models_and_refusals() -> None:
    keys = ["../x.onnx", "a/1.onnx", "a/2.json", "b/x.pdf", "c/../1.onnx", "c/2.onnx"]
    found = list(gather_all(map(remote, keys), NAMING))
    assert isinstance(found[0], Refused)
    assert [(item.model, item.objects) for item in found[1:] if not isinstance(item, Refused)] == [("a", 2), ("c", 2)]


def test_an_ignored_object_does_not_part_a_model() -> None:
    keys = ["a/1.onnx", "a/README.md", "a/2.json"]
    [found] = gather_all(map(remote, keys), NAMING)
    assert isinstance(found, Gathered)
    assert found.snapshot == gather(ModelId("a"), map(remote, keys), NAMING)

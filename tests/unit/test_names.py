"""Keys to models and files, and the keys that must never reach a volume."""

from __future__ import annotations

import pytest

from modelsync.core.names import (
    Ignored,
    Located,
    Naming,
    Refused,
    clash,
    decode,
    encode,
    locate,
    parents,
    parse_model,
)

NAMING = Naming(prefix="voices/")


@pytest.mark.parametrize(
    ("key", "depth", "expected"),
    [
        ("voices/alice/model.onnx", 1, Located("alice", "model.onnx")),
        ("voices/alice/de/model.ONNX", 1, Located("alice", "de/model.ONNX")),
        ("voices/en/alice/model.onnx", 2, Located("en/alice", "model.onnx")),
        ("voices/solo.onnx", 1, Located("solo.onnx", "solo.onnx", single=True)),
        ("voices/en/solo.onnx", 2, Located("en/solo.onnx", "solo.onnx", single=True)),
        ("voices/alice/modelsync.json", 1, Located("alice", "modelsync.json")),
        ("voices/alice/model.sig", 1, Located("alice", "model.sig")),
        ("voices/ä b+c/mödel.onnx", 1, Located("ä b+c", "mödel.onnx")),
    ],
)
def test_a_key_names_a_file_of_a_model(key: str, depth: int, expected: Located) -> None:
    assert locate(key, Naming(prefix="voices/", depth=depth)) == expected


@pytest.mark.parametrize(
    "key",
    [
        "other/alice/model.onnx",  # outside the prefix
        "voices/alice/notes.pdf",  # another ending
        "voices/alice/",  # directory marker
        "voices/config.json",  # a companion without a model
        "voices/modelsync.json",  # a commit file without a model
        "voices/model.sig",  # a signature without a model
        "voices/alice/de/model.sig",  # one that is not the model's own
        "voices/../secret.pdf",  # cannot do harm: it is never published
    ],
)
def test_a_key_that_is_none_of_our_business_is_ignored(key: str) -> None:
    assert locate(key, NAMING) == Ignored()


@pytest.mark.parametrize(
    ("key", "model", "why"),
    [
        ("voices/alice/../bob/model.onnx", "alice", "'..' segment"),
        ("voices/alice/./model.onnx", "alice", "'.' segment"),
        ("voices/alice//model.onnx", "alice", "empty segment"),
        ("voices/alice/a\nb.onnx", "alice", "U+000A"),
        ("voices/alice/a\x00.onnx", "alice", "U+0000"),
        ("voices/alice/a\u2028.onnx", "alice", "U+2028"),
        (f"voices/alice/{'x' * 256}.onnx", "alice", "255 bytes"),
        ("voices/../alice/model.onnx", None, "'..' segment"),
        ("voices//model.onnx", None, "empty segment"),
        ("voices/.modelsync/model.onnx", None, "own files"),
        ("voices/.ModelSync/model.onnx", None, "own files"),
        (f"voices/{'ä' * 50}/model.onnx", None, "percent-encoded"),
    ],
)
def test_a_hostile_key_is_refused_with_a_reason(key: str, model: str | None, why: str) -> None:
    found = locate(key, NAMING)
    assert isinstance(found, Refused)
    assert found.model == model
    assert why in found.reason
    assert "\n" not in found.reason, "a reason is one line in a log"


def test_include_and_exclude_choose_models() -> None:
    naming = Naming(include=("en-*", "de-*"), exclude=("*-test",))
    chosen = [m for m in ("en-a", "de-b", "fr-c", "en-test") if isinstance(locate(f"{m}/m.onnx", naming), Located)]
    assert chosen == ["en-a", "de-b"]


@pytest.mark.parametrize(
    ("paths", "why"),
    [
        (["a.json", "a.json/b.onnx"], "file and the directory"),
        (["Model.onnx", "model.onnx"], "ignores case"),
        (["de/A/x.json", "de/a/y.json"], "ignores case"),
        (["caf\u00e9.onnx", "cafe\u0301.onnx"], "Unicode"),
    ],
)
def test_paths_that_one_volume_takes_for_the_same_clash(paths: list[str], why: str) -> None:
    assert why in (clash(paths) or "")
    assert why in (clash(paths[::-1]) or "")


def test_paths_that_differ_do_not_clash() -> None:
    assert clash(["a/b.onnx", "a/c.onnx", "ab.onnx", "b/b.onnx"]) is None


@pytest.mark.parametrize("model", ["alice", "en/alice", "100%/ä b", "a.b-c_d~e"])
def test_a_model_has_a_directory_name_of_its_own(model: str) -> None:
    assert "/" not in encode(model)
    assert decode(encode(model)) == model


def test_only_models_that_the_configuration_can_name_are_covered() -> None:
    naming = Naming(depth=2, exclude=("en/secret",))
    assert naming.covers("en/alice")
    assert naming.covers("solo.onnx")
    assert not naming.covers("en/secret")
    assert not naming.covers("en/de/alice")


def test_a_lone_object_is_listed_without_a_slash_at_the_end() -> None:
    assert NAMING.list_prefix(parse_model("alice", NAMING)) == "voices/alice/"
    assert NAMING.list_prefix(parse_model("solo.onnx", NAMING)) == "voices/solo.onnx"


@pytest.mark.parametrize("text", ["", "..", "a/b", ".modelsync", "a\nb"])
def test_a_name_that_no_model_can_have_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no model's name"):
        parse_model(text, NAMING)


def test_parents_are_all_directories_above() -> None:
    assert parents("a/b/c") == ["a", "a/b"]
    assert parents("a") == []

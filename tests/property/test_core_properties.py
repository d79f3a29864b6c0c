"""What must hold for any input."""

from __future__ import annotations

import itertools
import json
import os.path
import string
from dataclasses import replace
from pathlib import PurePosixPath

from hypothesis import given
from hypothesis import strategies as st

from modelsync.core.commit import parse_commit
from modelsync.core.deletions import DeletionRules, depart, review
from modelsync.core.events import ObjectEvent, Unparsable, parse_events
from modelsync.core.manifest import Current
from modelsync.core.manifest import Published as OnVolume
from modelsync.core.names import Located, Locator, ModelId, Naming, clash, decode, encode, fold, locate, parents
from modelsync.core.objects import Digest, Gathered, RemoteObject, Revision, Snapshot, gather, gather_all, revision_of
from modelsync.core.parts import split
from modelsync.core.plan import Leave, Unpublish
from modelsync.errors import Rejected

hostile_segments = st.sampled_from(
    ["", ".", "..", "a", "A", ".modelsync", "m.onnx", "c.json", "\n", "ä", "modelsync.json"]
)
keys = st.one_of(
    st.text(max_size=60).map(lambda text: f"{text}.onnx"),
    st.lists(hostile_segments, min_size=1, max_size=6).map("/".join),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@given(keys, st.integers(1, 3))
def test_a_located_file_stays_inside_its_model(key: str, depth: int) -> None:
    found = locate(key, Naming(depth=depth))
    if isinstance(found, Located):
        for path in (found.model, found.path):
            assert os.path.normpath(f"/base/{path}") == f"/base/{path}"
            assert not PurePosixPath(path).is_absolute()
            assert "\0" not in path
        assert PurePosixPath(found.model).parts[0] != ".modelsync"
        assert f"{found.model}/{found.path}" == key or (found.single and found.model == key)


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",))))
def test_encoding_a_name_is_reversible_and_flat(name: str) -> None:
    assert decode(encode(name)) == name
    assert "/" not in encode(name)


@given(st.lists(st.lists(st.sampled_from("abAä"), min_size=1, max_size=3).map("/".join), unique=True, max_size=6))
def test_paths_that_do_not_clash_can_stand_on_a_folding_volume(paths: list[str]) -> None:
    files = {fold(path) for path in paths}
    possible = len(files) == len(paths) and not any(fold(parent) in files for path in paths for parent in parents(path))
    if clash(paths) is None:
        assert possible


@given(st.text(max_size=200) | json_values.map(json.dumps))
def test_parsing_events_never_raises(body: str) -> None:
    found = parse_events(body)
    assert isinstance(found, Unparsable) or all(isinstance(event, ObjectEvent) for event in found)


@given(json_values)
def test_hostile_records_never_raise(value: object) -> None:
    for body in (
        {"Records": [value]},
        {"Records": [{"s3": value}]},
        {"Type": "Notification", "Message": json.dumps(value)},
    ):
        assert isinstance(parse_events(json.dumps(body)), Unparsable | tuple)


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps({"version": 1, "files": [value]}).encode()))
def test_a_commit_file_is_read_or_rejected(data: bytes) -> None:
    try:
        files = parse_commit(data, Naming())
    except Rejected:
        return
    assert files
    assert all(".." not in file.path.split("/") for file in files)


@given(st.integers(0, 1 << 37))
def test_parts_cover_an_object_once(size_bytes: int) -> None:
    spans = split(size_bytes)
    assert spans[0].start == 0
    assert spans[-1].end == size_bytes
    assert all(before.end == after.start for before, after in itertools.pairwise(spans))
    assert all(span.size_bytes for span in spans) or size_bytes == 0


objects = st.builds(
    RemoteObject,
    key=st.lists(st.sampled_from([*string.ascii_lowercase[:3], "m.onnx", "c.json", ".."]), min_size=1, max_size=4).map(
        "/".join
    ),
    size_bytes=st.integers(0, 5),
    etag=st.sampled_from("xyz"),
    last_modified=st.just(0.0),
)


@given(st.lists(objects, unique_by=lambda remote: remote.key, max_size=12), st.randoms(use_true_random=False))
def test_a_revision_does_not_depend_on_the_order_of_the_listing(found: list[RemoteObject], random: object) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for model in map(ModelId, "abc"):
        one, other = gather(model, found, Naming()), gather(model, shuffled, Naming())
        assert (one and (one.digest, revision_of(one.files))) == (other and (other.digest, revision_of(other.files)))


segments = st.sampled_from(
    ["a", "b", ".", "..", "", ".modelsync", "x\ny", "m.onnx", "c.json", "n.pdf", "modelsync.json"]
)


@given(
    st.lists(st.lists(segments, min_size=1, max_size=4).map("/".join)), st.integers(1, 2), st.sampled_from(["", "a/"])
)
def test_keys_in_a_row_are_located_like_each_by_itself(keys: list[str], depth: int, prefix: str) -> None:
    naming = Naming(prefix=prefix, depth=depth, exclude=("b",))
    locator = Locator(naming)
    assert [locator(key) for key in keys] == [locate(key, naming) for key in keys]


@given(st.lists(objects, unique_by=lambda remote: remote.key, max_size=12))
def test_splitting_a_listing_loses_no_model(found: list[RemoteObject]) -> None:
    ordered = sorted(found, key=lambda remote: remote.key.encode())
    whole = {
        model: snapshot.digest
        for model in {ModelId(remote.key.split("/")[0]) for remote in ordered}
        if (snapshot := gather(model, ordered, Naming())) is not None
    }
    groups = [item for item in gather_all(ordered, Naming()) if isinstance(item, Gathered)]
    split_up: dict[ModelId, list[Snapshot]] = {}
    for group in groups:
        if group.snapshot is not None:
            split_up.setdefault(group.model, []).append(group.snapshot)
    assert set(whole) <= {group.model for group in groups}
    for model, snapshots in split_up.items():
        if len(snapshots) == 1 and sum(1 for group in groups if group.model == model) == 1:
            assert snapshots[0].digest == whole[model]


@given(
    st.integers(1, 12),
    st.sampled_from([0.1, 0.3, 0.5, 1.0]),
    st.sampled_from([0.0, 600.0, 7200.0]),
    st.lists(st.tuples(st.sampled_from(["delete", "restore", "wait"]), st.integers(0, 11)), max_size=40),
)
def test_no_more_models_go_within_a_window_than_its_start_allows_for(
    number: int, max_fraction: float, grace_seconds: float, happenings: list[tuple[str, int]]
) -> None:
    rules = DeletionRules(grace_seconds=grace_seconds, max_fraction=max_fraction)
    records = {n: Current(ModelId(str(n)), Revision("r"), Digest("d"), 0.0) for n in range(number)}
    gone: set[int] = set()
    now, missing = 1e9, 0
    for what, which in happenings:
        if what == "wait":
            now += 400.0 * which
        elif which < number:
            (gone.add if what == "delete" else gone.discard)(which)
        for n, record in records.items():
            if n not in gone:
                records[n] = replace(record, gone_since=None, unpublished_at=None)
                continue
            linked = None if record.unpublished_at is not None else record.revision
            match depart(OnVolume(record, linked), now=now, rules=rules):
                case Leave(known=False, since=since):
                    records[n] = replace(record, gone_since=since)
                case Unpublish():
                    found = review(records.values(), now=now, rules=rules, missing=missing)
                    missing = found.missing
                    if found.held is None:
                        records[n] = replace(record, unpublished_at=now)
        shown = [record for record in records.values() if record.unpublished_at is None]
        went = [at for record in records.values() if (at := record.unpublished_at) and at >= now - rules.window_seconds]
        assert shown, "something always stays"
        assert len(went) <= max(1, (len(shown) + len(went)) * max_fraction)

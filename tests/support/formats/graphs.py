"""ONNX: graphs by onnx's own helpers, and messages by hand that it would not make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import AttributeProto, ModelProto, TensorProto, TrainingInfoProto, helper, numpy_helper

from modelsync.gate.onnx import check_onnx
from support.formats import Corrupt, Format, every

SIDE_BYTES = 64


def side(path: str) -> int | None:
    """The model's other file."""
    return SIDE_BYTES if path == "model.bin" else None


def external(location: str | None = "model.bin", *, shape: tuple[int, ...] = (4, 4), **more: Any) -> TensorProto:
    """A tensor of floats in another file."""
    tensor = TensorProto(name="w", dims=shape, data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    for key, value in ({} if location is None else {"location": location} | more).items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def weights(*shape: int, dtype: Any = np.float32) -> TensorProto:
    return numpy_helper.from_array(np.zeros(shape, dtype), "w")


def graph(*initializers: TensorProto, nodes: list[Any] | None = None, name: str = "g") -> Any:
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 4])
    return helper.make_graph(nodes or [helper.make_node("Identity", ["w"], ["y"])], name, [], [output], initializers)


def model(*initializers: TensorProto, **more: Any) -> ModelProto:
    return helper.make_model(graph(*initializers, **more), opset_imports=[helper.make_opsetid("", 17)])


def branch(tensor: TensorProto) -> Any:
    """A node with a tensor in a subgraph."""
    inner = graph(tensor)
    return helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=graph(weights(4, 4)))


def nested(depth: int, tensor: TensorProto) -> ModelProto:
    """A tensor so many subgraphs down."""
    inner = graph(tensor)
    for _ in range(depth):
        inner = graph(nodes=[helper.make_node("Loop", ["n"], ["y"], body=inner)])
    return helper.make_model(inner)


def _changed(change: Callable[[ModelProto], object], *initializers: TensorProto) -> bytes:
    made = model(*(initializers or (weights(4, 4),)))
    change(made)
    return bytes(made.SerializeToString())


def _hidden() -> dict[str, Callable[[TensorProto], ModelProto]]:
    """Everywhere a tensor can be."""

    def attribute(**more: Any) -> Callable[[TensorProto], ModelProto]:
        return lambda tensor: model(
            nodes=[helper.make_node("Op", [], ["y"], **{k: f(tensor) for k, f in more.items()})]
        )

    def sparse(tensor: TensorProto) -> Any:
        return helper.make_sparse_tensor(tensor, helper.make_tensor("i", TensorProto.INT64, [0], []), [4, 4])

    def in_function(tensor: TensorProto) -> ModelProto:
        made = model(weights(4, 4))
        node = helper.make_node("Constant", [], ["y"], value=tensor)
        made.functions.append(helper.make_function("own", "F", [], ["y"], [node], [helper.make_opsetid("", 17)]))
        return made

    def in_default(tensor: TensorProto) -> ModelProto:
        made = in_function(weights(4, 4))
        made.functions[0].attribute_proto.append(helper.make_attribute("a", tensor))
        return made

    def in_training(tensor: TensorProto) -> ModelProto:
        made = model(weights(4, 4))
        made.training_info.append(TrainingInfoProto(initialization=graph(tensor), algorithm=graph(weights(1))))
        return made

    def in_sparse_initializer(tensor: TensorProto) -> ModelProto:
        made = model(weights(4, 4))
        made.graph.sparse_initializer.append(sparse(tensor))
        return made

    return {
        "an initializer": model,
        "an attribute": attribute(value=lambda tensor: tensor),
        "a list in an attribute": attribute(values=lambda tensor: [weights(2), tensor]),
        "a sparse attribute": attribute(value=sparse),
        "a sparse initializer": in_sparse_initializer,
        "a subgraph": lambda tensor: model(nodes=[branch(tensor)]),
        "a list of subgraphs": attribute(bodies=lambda tensor: [graph(weights(1)), graph(tensor)]),
        "a subgraph ten deep": lambda tensor: nested(10, tensor),
        "a function": in_function,
        "a function's default": in_default,
        "the training": in_training,
    }


HIDDEN = _hidden()


def _benign() -> dict[str, bytes]:
    kinds = ["float32", "float64", "float16", "int8", "uint8", "int16", "uint16", "int32", "int64", "uint32", "uint64",
             "bool", "complex64", "complex128"]  # fmt: skip
    models = {f"{kind}": model(weights(2, 3, dtype=kind)) for kind in kinds}
    models |= {f"external data in {place}": make(external(offset=0, length=64)) for place, make in HIDDEN.items()}
    models |= {
        "strings": model(numpy_helper.from_array(np.array(["a", "ü"], object), "w")),
        "a scalar": model(weights()),
        "an empty tensor": model(weights(0, 3)),
        "int4": model(helper.make_tensor("w", TensorProto.INT4, [3], [1, 2, 3])),
        "complex in their own field": model(helper.make_tensor("w", TensorProto.COMPLEX64, [2], [1j, 2.0])),
        "doubles in their own field": model(helper.make_tensor("w", TensorProto.DOUBLE, [2], [1.0, 2.0])),
        "integers in their own field": model(helper.make_tensor("w", TensorProto.INT64, [2], [1, 1 << 40])),
        "floats in their own field": model(helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])),
        "no offset": model(external()),
        "a checksum": model(external(length=64, checksum="0" * 40)),
        "many nodes": model(nodes=[helper.make_node("Identity", ["x"], ["y"]) for _ in range(500)]),
        "no node": helper.make_model(helper.make_graph([], "g", [], [], [weights(1)])),
        "ten subgraphs": nested(10, weights(4)),
    }
    return {name: made.SerializeToString() for name, made in models.items()}


def _field(number: int, payload: bytes) -> bytes:
    return bytes([number << 3 | 2, len(payload)]) + payload


def _corrupt() -> dict[str, Corrupt]:
    good = model(weights(4, 4)).SerializeToString()
    by_hand = helper.make_tensor("w", TensorProto.FLOAT, [2], bytes(8), raw=True)

    def bad_tensor(change: Callable[[TensorProto], object]) -> bytes:
        tensor = TensorProto.FromString(by_hand.SerializeToString())
        change(tensor)
        return bytes(model(tensor).SerializeToString())

    def lying(location: str | None = "model.bin", **more: Any) -> bytes:
        return bytes(model(external(location, **more)).SerializeToString())

    outside, malformed = "no path inside the model", "no well-formed"
    twice = external(offset=0)
    twice.external_data.add(key="location", value="../x")
    merged = AttributeProto(name="a", type=AttributeProto.TENSOR, t=by_hand).SerializeToString()
    node = _field(4, b"Op") + _field(5, merged + _field(5, external("../x").SerializeToString()))
    found: dict[str, Corrupt] = {
        "empty": (b"", "no IR version"),
        "no IR version": (_changed(lambda made: made.ClearField("ir_version")), "no IR version"),
        "IR version 0": (b"\x08\x00" + good[2:], "no IR version"),
        "IR version -1": (_changed(lambda made: setattr(made, "ir_version", -1)), "no IR version"),
        "IR version of bytes": (_field(1, b"7") + good[2:], "not a varint"),
        "IR version twice": (good + b"\x08\x07", "stands twice in one model"),
        "no operator set": (_changed(lambda made: made.ClearField("opset_import")), "no operator set"),
        "operator set 0": (_changed(lambda made: setattr(made.opset_import[0], "version", 0)), "no version"),
        "operator set without version": (
            _changed(lambda made: made.opset_import[0].ClearField("version")), "no version",
        ),
        "no graph": (_changed(lambda made: made.ClearField("graph")), "no graph"),
        "an empty graph": (_changed(lambda made: made.graph.Clear()), "is empty"),
        "two graphs": (good + _field(7, b""), "stands twice in one model"),
        "a node without operator": (_changed(lambda made: made.graph.node[0].ClearField("op_type")), "no operator"),
        "a node with an empty operator": (
            _changed(lambda made: setattr(made.graph.node[0], "op_type", "")), "no operator",
        ),
        "a graph that is a number": (b"\x08\x07\x38\x01", "not bytes"),
        "field 0": (b"\x02\x00" + good, "field 0"),
        "a group": (b"\x0b" + good, "wire type 3"),
        "wire type 7": (b"\x0f" + good, "wire type 7"),
        "a varint without end": (good + b"\x98" + b"\xff" * 11, "cut off or too large"),
        "a varint of 65 bits": (b"\x08" + b"\xff" * 9 + b"\x7f" + good[2:], "cut off or too large"),
        "bytes beyond the end": (good + b"\x72\x7f", "only 0 are left"),
        "bytes beyond 2**63": (good + b"\x72" + b"\xff" * 9 + b"\x01", "are left"),
        "64 bits beyond the end": (good + b"\x71\x00", "are left"),
        "too deep": (nested(30, weights(1)).SerializeToString(), "nested deeper"),
        "unknown data type": (bad_tensor(lambda each: setattr(each, "data_type", 99)), "unknown data type 99"),
        "no data type": (bad_tensor(lambda each: each.ClearField("data_type")), "unknown data type 0"),
        "negative data type": (bad_tensor(lambda each: setattr(each, "data_type", -1)), "unknown data type"),
        "a negative size": (bad_tensor(lambda each: each.dims.append(-1)), "no tensor can have"),
        "a shape that overflows": (bad_tensor(lambda each: each.dims.extend([1 << 62, 1 << 62])), "no tensor can have"),
        "65 dimensions": (bad_tensor(lambda each: each.dims.extend([1] * 64)), "more than 64"),
        "a segment": (bad_tensor(lambda each: setattr(each.segment, "begin", 1)), "segment"),
        "raw data too short": (bad_tensor(lambda each: setattr(each, "raw_data", bytes(7))), "7 bytes"),
        "raw data too long": (bad_tensor(lambda each: setattr(each, "raw_data", bytes(9))), "ask for 8"),
        "no data": (bad_tensor(lambda each: each.ClearField("raw_data")), "has no data"),
        "floats too few": (
            bad_tensor(lambda each: (each.ClearField("raw_data"), each.float_data.append(1.0))), "has 4 bytes",
        ),
        "floats for integers": (
            model(TensorProto(dims=[1], data_type=TensorProto.INT8, float_data=[1.0])).SerializeToString(), "ask for 1",
        ),
        "raw strings": (bad_tensor(lambda each: setattr(each, "data_type", 8)), "ask for strings"),
        "a name not in UTF-8": (good.replace(b"B\x01w", b"B\x01\xff"), "not UTF-8"),
        "external data without location": (lying(None), outside),
        "external data outside": (lying("../model.bin"), outside),
        "external data outside, later": (lying("a/../../model.bin"), outside),
        "external data at the root": (lying("/etc/passwd"), outside),
        "external data here": (lying("./model.bin"), outside),
        "external data nowhere": (lying(""), outside),
        "external data with a NUL": (lying("model.bin\0"), outside),
        "external data behind a long name": (lying("x" * 300), outside),
        "external data missing": (lying("other.bin"), "not among the model's files"),
        "external data with a backslash": (lying("..\\model.bin"), "not among the model's files"),
        "external data in another case": (lying("Model.bin"), "not among the model's files"),
        "external data too small": (lying(shape=(4, 5)), "ends at byte 80 of 'model.bin', which has 64"),
        "external data behind an offset": (lying(offset=4), "ends at byte 68"),
        "external data behind a huge offset": (lying(offset="9" * 19), "ends at byte"),
        "external offset of 30 digits": (lying(offset="9" * 30), "has the offset"),
        "external offset below 0": (lying(offset=-4), "has the offset '-4'"),
        "external offset in other digits": (lying(offset="٤"), "has the offset"),
        "external length wrong": (lying(length=60), "has 60 bytes"),
        "external length in words": (lying(length="all"), "has the length"),
        "external data with an unknown key": (lying(basepath="/etc"), "unknown key 'basepath'"),
        "external data with a key of Python's": (lying(__class__="x"), "unknown key '__class__'"),
        "external data with a long unknown key": (lying(**{"x" * 200: "1"}), "unknown key 'xxx"),
        "external data with a checksum that is none": (lying(checksum="x" * 40), "no SHA-1"),
        "external data with half a checksum": (lying(checksum="0" * 20), "no SHA-1"),
        "external location twice": (model(twice).SerializeToString(), "'location' twice"),
        "external data of a tensor that says it has none": (
            bad_tensor(lambda each: each.external_data.add(key="location", value="../x")), outside,
        ),
        "a tensor in two parts": (
            b"\x08\x07" + _field(7, _field(1, node)) + b"\x42\x02\x10\x11", "stands twice in one attribute",
        ),
        "not protobuf": (b"<html><body>404</body></html>", malformed),
    }  # fmt: skip
    found |= {
        f"external data outside, in {place}": (make(external("../x")).SerializeToString(), outside)
        for place, make in HIDDEN.items()
    }
    return found | every(
        good, 40, "no IR version|no operator set|cut off or too large|bytes, but only [0-9,]+ are left"
    )


ONNX = Format("onnx", "model.onnx", lambda source: check_onnx(source, side), _benign(), _corrupt())

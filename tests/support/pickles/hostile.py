"""Pickles that must not pass: calls that do harm, and tricks to get them past a scanner.

The ideas are those of published advisories and bypasses; each pickle here is assembled anew. Those that are live make
a file `marker` when they are unpickled, which a test proves.
"""

from __future__ import annotations

from dataclasses import dataclass

from support.pickles.assembler import (
    ADDITEMS,
    APPEND,
    APPENDS,
    BINPERSID,
    BUILD,
    DUP,
    EMPTY_ARRAY,
    EMPTY_DICT,
    EMPTY_LIST,
    EMPTY_TUPLE,
    FALSE,
    MARK,
    MEMOIZE,
    NAMESPACE,
    NEWOBJ,
    NEWOBJ_EX,
    NONE,
    ORDERED,
    POP,
    REDUCE,
    SETITEM,
    SETITEMS,
    STACK_GLOBAL,
    STOP,
    STORAGE,
    TENSOR,
    TRUE,
    TUPLE,
    array_state,
    call,
    dtype,
    dtype_state,
    frame,
    get,
    mapping,
    named,
    number,
    old_text,
    pickle,
    proto,
    put,
    raw,
    row,
    text,
)  # fmt: skip


@dataclass(frozen=True)
class Hostile:
    """A pickle that must not pass.

    Attributes:
        data: the pickle.
        says: what the reason must contain.
        live: whether unpickling it makes the file `marker`.
    """

    data: bytes
    says: str
    live: bool = False


_SHELL = text("echo > marker")
_CODE = text("open('marker', 'w').close()")

_ASKED_FOR = {
    # what executes at once
    "os": "system", "posix": "system", "nt": "system", "commands": "getoutput", "subprocess": "Popen",
    "pty": "spawn", "runpy": "_run_code", "timeit": "timeit", "cProfile": "run", "profile": "run", "pdb": "run",
    "builtins": "eval", "__builtin__": "apply", "sys": "settrace", "importlib": "import_module",
    "pkgutil": "resolve_name", "pydoc": "pipepager", "doctest": "debug_script", "ensurepip": "_run_pip",
    "pip": "main", "pip._internal.cli.main": "main", "distutils.spawn": "spawn", "venv": "create",
    "imaplib": "IMAP4_stream", "uuid": "_get_command_stdout", "_osx_support": "_read_output",
    "_aix_support": "_read_cmd_output", "_pyrepl.pager": "pipe_pager", "multiprocessing.util": "spawnv_passfds",
    "asyncio.unix_events": "SelectorEventLoop", "test.support.script_helper": "assert_python_ok",
    "atexit": "register", "signal": "signal", "threading": "Thread", "code": "InteractiveInterpreter",
    "idlelib.run": "Executive", "lib2to3.pgen2.pgen": "ParserGenerator", "bdb": "Bdb", "trace": "Trace",
    # what makes something that executes
    "functools": "partial", "operator": "attrgetter", "_operator": "methodcaller", "types": "CodeType",
    "cloudpickle.cloudpickle": "_make_function", "copyreg": "_reconstructor", "copy_reg": "add_extension",
    # what reads, writes or talks
    "io": "open", "_io": "FileIO", "shutil": "rmtree", "pathlib": "Path", "tempfile": "NamedTemporaryFile",
    "distutils.file_util": "write_file", "logging": "FileHandler", "socket": "create_connection",
    "ssl": "get_server_certificate", "urllib.request": "urlopen", "webbrowser": "open", "ctypes": "CDLL",
    "aiohttp": "request", "requests.api": "get", "linecache": "getlines",
    # other loaders
    "pickle": "loads", "_pickle": "loads", "marshal": "loads", "codecs": "decode", "_codecs": "decode",
    "joblib": "load", "dill": "loads", "pandas": "read_pickle", "numpy": "load", "shelve": "open",
    "torch": "load", "torch.serialization": "load", "torch.storage": "_load_from_bytes", "torch.hub": "load",
    "torch.jit": "load", "torch.package": "PackageImporter",
    # what frameworks have
    "torch.jit.unsupported_tensor_ops": "execWrapper", "torch.utils.collect_env": "run",
    "torch.utils.bottleneck.__main__": "run_cprofile", "torch._inductor.codecache": "compile_file",
    "torch._dynamo.guards": "GuardBuilder", "torch.fx.experimental.symbolic_shapes": "ShapeEnv",
    "torch.utils._config_module": "ConfigModule", "torch.utils.data.datapipes.utils.decoder": "basichandlers",
    "numpy.testing._private.utils": "runstring", "numpy.f2py.crackfortran": "getlincoef",
    "numpy.ctypeslib": "load_library", "tensorflow.io": "read_file",
}  # fmt: skip

_MORE = [
    ("builtins", "exec"), ("builtins", "__import__"), ("builtins", "getattr"), ("builtins", "compile"),
    ("builtins", "open"), ("builtins", "breakpoint"), ("builtins", "globals"), ("builtins", "map"),
    ("builtins", "type"), ("__builtin__", "execfile"), ("__builtin__", "eval"), ("os", "popen"), ("os", "execv"),
    ("subprocess", "check_output"), ("types", "FunctionType"), ("torch", "ops"), ("torch", "compile"),
    ("torch._utils", "_rebuild_device_tensor_from_numpy"), ("torch._utils", "_import_dotted_name"),
    ("collections", "namedtuple"), ("collections", "UserDict"), ("argparse", "FileType"), ("numpy", "memmap"),
    ("numpy", "fromfile"), ("pathlib", "PurePath"), ("datetime", "sys"), ("functools", "reduce"),
]  # fmt: skip

_DOTTED = [
    ("torch", "serialization.os.system"), ("torch", "_utils.sys.modules"), ("torch", "storage.UntypedStorage"),
    ("collections", "OrderedDict.fromkeys"), ("collections", "_sys.modules"), ("collections", "abc.sys"),
    ("argparse", "_os.system"), ("argparse", "Namespace.__init__.__globals__"), ("datetime", "sys.modules"),
    ("numpy", "ndarray.tofile"), ("numpy", "ctypeslib.load_library"), ("pathlib", "PosixPath.unlink"),
    ("pathlib", "os.system"), ("builtins", "dict.__class__"), ("torch._dynamo.guards", "GuardBuilder.get"),
    ("idlelib.autocomplete", "AutoComplete.get_entity"), ("code", "InteractiveInterpreter.runcode"),
    ("lib2to3.pgen2.grammar", "Grammar.loads"), ("torch.fx.experimental.symbolic_shapes",
        "ShapeEnv.evaluate_guards_expression"),
    ("asyncio.unix_events", "_UnixSubprocessTransport._start"), ("bdb", "Bdb.run"), ("trace", "Trace.runctx"),
]  # fmt: skip


def _calls() -> dict[str, Hostile]:
    """Each name, asked for and called, in some protocols."""
    found = {}
    for index, (module, name) in enumerate([*_ASKED_FOR.items(), *_MORE]):
        for version in (0, 2, 4) if index % 3 == 0 else (index % 2 + 1, 3, 5):
            data = pickle(call(named(module, name, version), text("x", version)), version)
            found[f"{module}.{name} in protocol {version}"] = Hostile(data, f"{module}.{name}")
    for module, name in _DOTTED:
        for version in (2, 4):
            data = pickle(call(named(module, name, version), text("x", version)), version)
            found[f"{module}:{name} in protocol {version}"] = Hostile(data, f"{module}:{name}")
    return found


def _system(version: int = 2) -> bytes:
    return call(named("os", "system", version), text("echo > marker", version))


_LIVE = {
    "as protocol 0 has it": b"cos\nsystem\n(S'echo > marker'\ntR.",
    "INST": b"(S'echo > marker'\nios\nsystem\n.",
    "OBJ": MARK + named("os", "system") + _SHELL + b"o" + STOP,
    "eval": pickle(call(named("builtins", "eval"), _CODE)),
    "exec in a frame": proto(4) + frame(call(named("builtins", "exec", 4), _CODE) + STOP),
    "a name in Python 2's spelling": pickle(call(named("__builtin__", "eval"), _CODE)),
    "names from the memo": pickle(
        text("system") + put(7) + POP + text("os") + put(3) + POP + get(3) + get(7) + STACK_GLOBAL + row(_SHELL)
            + REDUCE, 4
    ),
    "names from a memo that is written twice": pickle(
        text("collections", 4) + put(0) + text("OrderedDict", 4) + put(1) + POP + POP
        + text("os", 4) + put(0) + POP + text("system", 4) + put(1) + POP
        + get(0) + get(1) + STACK_GLOBAL + row(_SHELL) + REDUCE, 4,
    ),
    "names from a memo with far numbers": pickle(
        text("os") + b"r\x00\x00\x01\x00" + POP + text("system") + b"p77\n" + POP
        + b"j\x00\x00\x01\x00" + b"g77\n" + STACK_GLOBAL + row(_SHELL) + REDUCE, 4,
    ),
    "names as Python 2's texts": pickle(old_text(b"os") + old_text(b"system") + STACK_GLOBAL + row(_SHELL) + REDUCE, 4),
    "names with escapes": pickle(b"V\\u006fs\n" + b"V\\u0073ystem\n" + STACK_GLOBAL + row(_SHELL) + REDUCE, 4),
    "names between other values": pickle(
        text("os", 4) + text("collections", 4) + POP + text("system", 4) + NONE + POP + DUP + POP
        + STACK_GLOBAL + row(_SHELL) + REDUCE, 4,
    ),
    "names memoized on the way": pickle(
        text("os", 4) + MEMOIZE + text("system", 4) + MEMOIZE + STACK_GLOBAL + MEMOIZE + row(_SHELL) + REDUCE, 4
    ),
    "a name through a module": pickle(call(named("pathlib", "os.system", 4), _SHELL), 4),
    "getattr": pickle(call(call(named("builtins", "getattr"), named("collections", "_sys"), text("exit")))),
    "no STOP": proto(2) + _system(),
    "broken after it": proto(2) + _system() + b"\xff\xff\xff",
    "an argument cut off after it": proto(2) + _system() + POP + b"X\xff\xff\x00\x00ab",
    "a stack without a value after it": proto(2) + _system() + POP + POP,
    "a frame that lies after it": proto(4) + _system(4) + b"\x95" + b"\xff" * 8,
    "thrown away behind plain data": pickle(mapping(("w", number(1))) + _system() + POP),
    "in a key": pickle(EMPTY_DICT + _system() + number(1) + SETITEM),
    "within a benign checkpoint": pickle(mapping(("weight", TENSOR), ("bias", _system()))),
    "defaultdict's factory": pickle(
        call(named("collections", "defaultdict"), call(named("functools", "partial"), named("os", "system"), _SHELL))
        + put(0) + get(0) + POP + call(named("operator", "getitem"), get(0), number(1))
    ),
    "a codec that decodes": pickle(
        call(named("_pickle", "loads"), call(named("_codecs", "encode"), text(_system().decode("latin-1") + "."),
            text("latin1")))
    ),
    "the class's own attributes": pickle(
        ORDERED + mapping(("x", number(1))) + BUILD + POP + _system()
    ),
    "map and a deque": pickle(
        call(named("collections", "deque"), call(named("builtins", "map"), named("os", "system"), EMPTY_LIST
            + _SHELL + APPEND))
    ),
}  # fmt: skip
"""What executes when it is unpickled, if only before it breaks."""

_NOT_PROVEN = {
    "getattr",  # it ends the process
    "the class's own attributes",  # a class refuses, where an object would not
    "within a benign checkpoint",  # torch's loader alone knows storages
}

_SAYS = {
    "INST": "INST", "OBJ": "'os.system'", "eval": "'builtins.eval'",
    "exec in a frame": "'builtins.exec'", "a name in Python 2's spelling": "'__builtin__.eval'",
    "names from a memo that is written twice": "two values 0", "names as Python 2's texts": "two short texts",
    "names with escapes": "two short texts", "a name through a module": "'pathlib:os.system'",
    "getattr": "'builtins.getattr'", "defaultdict's factory": "'functools.partial'",
    "a codec that decodes": "'_pickle.loads'", "the class's own attributes": "changes 'collections.OrderedDict'",
    "map and a deque": "'builtins.map'",
}  # fmt: skip

_LONG = text("x" * 300)
_BYTEARRAY = named("builtins", "bytearray")


def owning(target: bytes, name: str, value: bytes) -> bytes:
    """An object with an attribute that is found before its class's."""
    return target + EMPTY_DICT + text(name) + value + SETITEM + BUILD


def _storage(elements: int, key: str = "0") -> bytes:
    return row(text("storage"), named("torch", "FloatStorage"), text(key), text("cpu"), number(elements)) + BINPERSID


_MISUSED = {
    "a result that is called": (pickle(call(call(ORDERED))), "calls an object of 'collections.OrderedDict'"),
    "a text that is called": (pickle(call(text("os.system"))), "calls a plain value"),
    "arguments in a list": (pickle(ORDERED + EMPTY_LIST + REDUCE), "calls 'collections.OrderedDict'"),
    "a dtype that is called": (pickle(call(named("torch", "float32"))), "calls 'torch.float32'"),
    "more arguments than are kept": (pickle(call(named("torch", "Size"), *[number(1)] * 40)), "calls 'torch.Size'"),
    "an object of a function": (
        pickle(named("torch._utils", "_rebuild_tensor") + EMPTY_TUPLE + NEWOBJ), "an object of"
    ),
    "an object of a text": (pickle(text("argparse") + EMPTY_TUPLE + NEWOBJ), "an object of a plain value"),
    "an object with arguments": (pickle(named("argparse", "Namespace") + row(number(1)) + NEWOBJ), "an object of"),
    "an object with named arguments": (
        pickle(named("argparse", "Namespace") + EMPTY_TUPLE + EMPTY_DICT + NEWOBJ_EX, 4), "NEWOBJ_EX"
    ),
    "an object of a process": (
        pickle(named("subprocess", "Popen", 4) + row(_SHELL) + mapping(("shell", TRUE)) + NEWOBJ_EX, 4),
            "'subprocess.Popen'"
    ),
    "slots of an object": (
        pickle(NAMESPACE + row(NONE, mapping(("__class__", ORDERED))) + BUILD),
            "changes an object of 'argparse.Namespace'"
    ),
    "a class's state": (pickle(named("argparse", "Namespace") + EMPTY_DICT + BUILD), "changes 'argparse.Namespace'"),
    "a tensor's state": (pickle(TENSOR + EMPTY_DICT + BUILD), "changes an object of 'torch.Tensor'"),
    "a list's state": (pickle(EMPTY_LIST + EMPTY_DICT + BUILD), "changes a plain value"),
    "items of a class": (
        pickle(ORDERED + number(1) + number(2) + SETITEM), "puts items into 'collections.OrderedDict'"
    ),
    "items of a namespace": (
        pickle(NAMESPACE + number(1) + APPEND), "puts items into an object of 'argparse.Namespace'"
    ),
    "items of a list by key": (pickle(EMPTY_LIST + MARK + number(0) + number(1) + SETITEMS), "puts items into"),
    "a method of an object's own": (
        pickle(owning(call(ORDERED), "append", _BYTEARRAY) + number(1) + APPEND),
            "puts items into an object of 'collections.OrderedDict'"
    ),
    "a method for many": (
        pickle(owning(call(named("collections", "Counter")), "extend", _BYTEARRAY) + MARK + number(1) + APPENDS),
            "puts items into an object of 'collections.Counter'"
    ),
    "a method for sets": (
        pickle(owning(call(ORDERED), "add", _BYTEARRAY) + MARK + number(1) + ADDITEMS, 4), "puts items into"
    ),
    "a method of a default dict's own": (
        pickle(call(named("collections", "defaultdict")) + number(1) + APPEND), "puts items into"
    ),
    "a deque filled like a set": (
        pickle(call(named("collections", "deque")) + MARK + number(1) + ADDITEMS, 4), "puts items into"
    ),
    "a deque's attributes": (pickle(owning(call(named("collections", "deque")), "extend", _BYTEARRAY)), "changes"),
    "items behind a state": (
        pickle(owning(call(ORDERED), "a", NONE) + text("b") + NONE + SETITEM), "after it was given its state"
    ),
    "a state that is called with another": (
        pickle(owning(owning(NAMESPACE, "__setstate__", named("collections", "Counter")), "a", number(1))),
            "after it was given its state"
    ),
    "the same by the memo": (
        pickle(
            owning(NAMESPACE + put(0), "__setstate__", named("collections", "Counter")) + POP
            + owning(get(0), "a", number(1))
        ),
        "after it was given its state",
    ),
    "a dtype that all share": (
        pickle(call(named("numpy", "dtype"), text("f4"), FALSE, FALSE) + dtype_state((1, text(">")))),
            "calls 'numpy.dtype'"
    ),
    "a storage in two sizes": (pickle(_storage(6) + POP + _storage(7)), "storage '0' in two sizes"),
    "a storage of a negative size": (pickle(_storage(-1)), "no tensor's storage"),
    "a storage of a long name": (pickle(_storage(6, "0" * 300)), "no tensor's storage"),
    "a codec that imports": (
        pickle(call(named("_codecs", "encode"), text("x"), text("idna"))), "calls '_codecs.encode'"
    ),
    "a codec from a module": (
        pickle(call(named("_codecs", "encode"), text("x"), text("../x"))), "calls '_codecs.encode'"
    ),
    "a codec of a long name": (pickle(call(named("_codecs", "encode"), text("x"), _LONG)), "calls '_codecs.encode'"),
    "memory by bytearray": (
        pickle(call(named("builtins", "bytearray"), b"\x8a\x05" + b"\xff" * 4 + b"\x00")), "bytearray"
    ),
    "memory by bytes": (pickle(call(named("builtins", "bytes"), number(2**31 - 1))), "calls 'builtins.bytes'"),
    "memory by an array": (
        pickle(call(named("numpy._core.multiarray", "_reconstruct"), named("numpy", "ndarray"),
            row(number(2**31 - 1)), raw(b"b"))),
        "_reconstruct'",
    ),
    "an array of another class": (
        pickle(call(named("numpy.core.multiarray", "_reconstruct"), named("torch", "Tensor"), row(number(0)),
            raw(b"b"))),
        "_reconstruct'",
    ),
    "a set of what it is given": (pickle(call(named("builtins", "set"), call(ORDERED))), "calls 'builtins.set'"),
    "a factory that is no type": (
        pickle(call(named("collections", "defaultdict"), named("torch", "device"))), "defaultdict"
    ),
    "pointers as objects": (pickle(dtype("O8")), "calls 'numpy.dtype'"),
    "a dtype of a structure": (pickle(dtype("V16")), "calls 'numpy.dtype'"),
    "a dtype of a text": (pickle(dtype("U5")), "calls 'numpy.dtype'"),
    "a dtype's flags": (pickle(dtype() + dtype_state((7, number(63)))), "changes an object of 'numpy.dtype'"),
    "a dtype's size": (pickle(dtype() + dtype_state((5, number(1)))), "changes an object of 'numpy.dtype'"),
    "a dtype's fields": (
        pickle(dtype() + dtype_state((3, row(text("a"))), (4, mapping(("a", row(dtype(), number(9999))))))),
            "'numpy.dtype'"
    ),
    "a dtype's subarray": (pickle(dtype() + dtype_state((2, row(dtype(), row(number(9)))))), "'numpy.dtype'"),
    "a dtype's metadata": (
        pickle(dtype() + row(number(4), text("<"), NONE, NONE, NONE, number(-1), number(-1), number(0), EMPTY_DICT)
            + BUILD),
        "'numpy.dtype'",
    ),
    "an array of a list": (pickle(EMPTY_ARRAY + array_state(data=EMPTY_LIST)), "changes an object of 'numpy.ndarray'"),
    "an array of no dtype": (pickle(EMPTY_ARRAY + array_state(kind=named("numpy", "dtype"))), "'numpy.ndarray'"),
    "an array over a text as dtype": (pickle(EMPTY_ARRAY + array_state(kind=text("O"))), "'numpy.ndarray'"),
    "a tensor over nothing": (
        pickle(call(named("torch._utils", "_rebuild_tensor"), NONE, number(0), row(number(1)), row(number(1)))),
            "_rebuild_tensor'"
    ),
    "a tensor with a dict of hooks": (
        pickle(
            call(named("torch._utils", "_rebuild_tensor_v2"), STORAGE, number(0), EMPTY_TUPLE, EMPTY_TUPLE, FALSE,
                EMPTY_DICT)
        ),
        "_rebuild_tensor_v2'",
    ),
    "a tensor's function": (
        pickle(
            call(
                named("torch._tensor", "_rebuild_from_type_v2"), named("_codecs", "encode"), named("torch", "Tensor"),
                row(text("x"), text("idna")), EMPTY_DICT,
            )
        ),
        "_rebuild_from_type_v2'",
    ),
    "a tensor's function's arguments": (
        pickle(
            call(
                named("torch._tensor", "_rebuild_from_type_v2"), named("torch._utils", "_rebuild_tensor_v2"),
                named("torch", "Tensor"), row(number(1)), EMPTY_DICT,
            )
        ),
        "_rebuild_from_type_v2'",
    ),
    "a tensor's class": (
        pickle(
            call(
                named("torch._tensor", "_rebuild_from_type_v2"), named("torch._utils", "_rebuild_parameter"), ORDERED,
                row(TENSOR, FALSE, NONE), EMPTY_DICT,
            )
        ),
        "_rebuild_from_type_v2'",
    ),
    "a path of numbers": (pickle(call(named("pathlib", "PosixPath"), number(1))), "PosixPath'"),
    "a persistent id in a line": (b"Pstorage\n.", "PERSID"),
    "a persistent id that is a number": (pickle(number(1) + BINPERSID), "no tensor's storage"),
    "a persistent id of a module's source": (
        pickle(row(text("module"), named("torch", "Tensor"), text("m.py"), text("import os")) + BINPERSID),
            "no tensor's storage"
    ),
    "a persistent id of another type": (
        pickle(row(text("storage"), named("torch", "device"), text("0"), text("cpu"), number(1)) + BINPERSID),
            "no tensor's"
    ),
    "a persistent id of no type": (
        pickle(row(text("storage"), text("FloatStorage"), text("0"), text("cpu"), number(1)) + BINPERSID), "no tensor's"
    ),
    "copyreg's registry, 1 byte": (pickle(b"\x82\x01"), "EXT1"),
    "copyreg's registry, 2 bytes": (pickle(b"\x83\x01\x00"), "EXT2"),
    "copyreg's registry, 4 bytes": (pickle(b"\x84\x01\x00\x00\x00"), "EXT4"),
    "a buffer from elsewhere": (pickle(b"\x97", 5), "NEXT_BUFFER"),
    "a buffer that is made read-only": (pickle(raw(b"x") + b"\x98", 5), "READONLY_BUFFER"),
}  # fmt: skip

_SPELLED = {
    "a carriage return in a name": (b"\x80\x02cos\r\nsystem\r\n)R.", r"'os\r.system\r'"),
    "a carriage return behind a harmless name": (b"\x80\x02ccollections\nOrderedDict\r\n)R.", r"OrderedDict\r'"),
    "a blank behind a harmless name": (b"\x80\x02ccollections \nOrderedDict\n)R.", "'collections .OrderedDict'"),
    "an escape in a name": (b"\x80\x02ccollections\nOrdered\\x44ict\n)R.", r"Ordered\\x44ict"),
    "a newline in a name": (pickle(named("os\nsystem", "x", 4), 4), r"'os\nsystem.x'"),
    "a NUL in a name": (pickle(named("collections", "OrderedDict\x00", 4), 4), r"OrderedDict\x00'"),
    "a look-alike letter": (pickle(named("\u0441ollections", "OrderedDict", 4), 4), r"'\u0441ollections.OrderedDict'"),
    "a wide letter": (pickle(named("collections", "\uff2frderedDict", 4), 4), r"\uff2frderedDict"),
    "an invisible letter": (pickle(named("collections", "Ordered\u200bDict", 4), 4), r"\u200b"),
    "a lone surrogate": (pickle(named("collections\udc80", "OrderedDict", 4), 4), r"\udc80"),
    "a name that is not UTF-8": (b"\x80\x02ccollections\nOrdered\xffDict\n)R.", r"\\xff"),
    "an empty name": (pickle(named("", "", 4), 4), "'.'"),
    "a long name": (pickle(text("x" * 300, 4) + text("OrderedDict", 4) + STACK_GLOBAL, 4), "two short texts"),
    "a very long name": (b"\x80\x02c" + b"x" * 100_000 + b"\ny\n.", "'xxxxx"),
    "a name that is a number": (pickle(text("os", 4) + number(1) + STACK_GLOBAL, 4), "two short texts"),
    "a name that was called for": (pickle(text("os", 4) + call(ORDERED) + STACK_GLOBAL, 4), "two short texts"),
    "a name of bytes": (pickle(raw(b"os") + raw(b"system") + STACK_GLOBAL, 4), "two short texts"),
}  # fmt: skip

_MALFORMED = {
    "nothing": (b"", "cut off"),
    "PROTO alone": (b"\x80", "cut off"),
    "STOP alone": (b".", "one value at its end"),
    "no value": (pickle(b""), "one value at its end"),
    "two values": (pickle(NONE + NONE), "one value at its end"),
    "an open mark": (pickle(MARK + NONE), "one value at its end"),
    "garbage first": (b"\n\n" + pickle(NONE), "no opcode 0x0a"),
    "text": (b"{not a pickle}", "no opcode 0x7b"),
    "protocol 6": (b"\x80\x06N.", "protocol 6"),
    "protocol 255": (b"\x80\xffN.", "protocol 255"),
    "a second PROTO": (b"\x80\x04N\x80\x02.", "protocol 2"),
    "a frame beyond the file": (b"\x80\x04\x95\xff\x00\x00\x00\x00\x00\x00\x00N.", "a frame"),
    "a frame of 2**63": (b"\x80\x04\x95" + b"\xff" * 8 + b"N.", "a frame"),
    "an empty frame": (b"\x80\x04\x95" + bytes(8) + b"N.", "a frame"),
    "a frame that ends within a text": (b"\x80\x04\x95\x03" + bytes(7) + b"\x8c\x04abcd.", "beyond its frame"),
    "a frame that ends within STOP": (b"\x80\x04\x95\x09" + bytes(7) + b"N." + b"." * 20, "its frame goes on"),
    "a frame within a frame": (proto(4) + frame(frame(NONE + STOP)), "within another"),
    "a text of 4 GiB": (pickle(b"X\xff\xff\xff\xffab"), "cut off"),
    "a text of 2**64": (pickle(b"\x8d" + b"\xff" * 8 + b"ab", 4), "cut off"),
    "bytes of 2**63": (pickle(b"\x8e" + b"\xff" * 7 + b"\x7f", 4), "cut off"),
    "a bytearray of 2**64": (pickle(b"\x96" + b"\xff" * 8, 5), "cut off"),
    "a number of 2 GiB": (pickle(b"\x8b\xff\xff\xff\x7f"), "cut off"),
    "a number cut off": (pickle(b"\x8a\xff\x00"), "cut off"),
    "an old text of a negative length": (pickle(b"T\xff\xff\xff\xffab"), "cut off"),
    "a text that is not UTF-8": (pickle(b"X\x01\x00\x00\x00\xff"), "UTF-8"),
    "a text without quotes": (b"Sabc\n.", "quoted"),
    "a number of many digits": (b"I" + b"9" * 5_000 + b"\n.", "a number"),
    "a long number of many digits": (b"L" + b"9" * 900_000 + b"L\n.", "a number"),
    "a number with an underscore": (b"I1_0\n.", "a number"),
    "a number in other digits": (b"I\xd9\xa1\n.", "a number"),
    "a float in words": (b"Fnan(0x123)\n.", "a number"),
    "a line without end": (b"V" + b"x" * 2_000_000, "does not end"),
    "a far number in the memo": (pickle(NONE + b"r\xff\xff\xff\xff"), "numbers a value 4294967295"),
    "a negative number in the memo": (b"Np-1\n.", "numbers a value -1"),
    "a number that the memo does not have": (pickle(get(9)), "value 9"),
    "a memo's number for a mark": (pickle(NONE + MARK + put(0) + TUPLE), "not there"),
    "a value below the mark": (pickle(NONE + NONE + MARK + b"\x85"), "not there"),
    "a mark that is not there": (pickle(NONE + TUPLE), "a mark"),
    "a key without value": (pickle(EMPTY_DICT + MARK + NONE + SETITEMS), "a key without a value"),
    "a dict with a key without value": (b"(Nd.", "a key without a value"),
    "a stack that grows": (pickle(NONE * 100_001), "holds more than 100,000"),
    "marks that grow": (pickle(MARK * 1_001), "nests more than 1,000"),
    "a tuple that holds itself twice, and so on": (pickle(EMPTY_TUPLE + (DUP + b"\x86") * 40), "unfolds to more"),
    "the same by the memo": (
        pickle(EMPTY_TUPLE + b"".join(put(n) + get(n) + get(n) + b"\x87" for n in range(40))), "unfolds to more"
    ),
    "items for nobody": (pickle(MARK + NONE + APPENDS), "not there"),
}  # fmt: skip

HOSTILE: dict[str, Hostile] = {
    **_calls(),
    **{
        name: Hostile(data, _SAYS.get(name, "'os.system'"), live=name not in _NOT_PROVEN)
        for name, data in _LIVE.items()
    },
    **{name: Hostile(*pair) for part in (_MISUSED, _SPELLED, _MALFORMED) for name, pair in part.items()},
}
"""Every pickle that must not pass, by what is wrong with it."""

"""What an operator may add to the globals that pass, by GATE_PICKLE_ALLOW, and what nobody can.

The check of a model's own classes is the operator's. What runs code, loads other pickles, or reaches files, processes
or the network cannot be added, even by mistake: these lists win.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

from modelsync.core.words import quoted

_MAX_CHARACTERS = 256
_WORD = re.compile(r"(?a:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(\.[A-Za-z_]\w*|:[A-Za-z_]\w*(\.[A-Za-z_]\w*)+))")

_MODULES = frozenset({
    # Python's own, of older versions, and its tools
    "__builtin__", "__main__", "_distutils_hack", "_pytest", "asynchat", "asyncore", "commands", "copy_reg",
    "distutils", "ensurepip", "exceptions", "future", "httplib", "idlelib", "imp", "lib2to3", "past", "pip", "pipes",
    "pkg_resources", "pytest", "setuptools", "six", "smtpd", "telnetlib", "test", "thread", "urllib2", "virtualenv",
    # other loaders of pickles
    "cloudpickle", "dill", "hickle", "joblib", "jsonpickle", "klepto", "pandas.io", "pickle5", "srsly", "zodbpickle",
    # evaluate text, compile, or call what they are told to
    "IPython", "cffi", "ipykernel", "jinja2", "keras", "llvmlite", "numba", "numexpr", "numpy.ctypeslib",
    "numpy.distutils", "numpy.f2py", "numpy.lib", "numpy.testing", "sympy", "tensorflow", "torch._C", "torch._dynamo",
    "torch._inductor", "torch._ops", "torch.classes", "torch.compiler", "torch.fx", "torch.jit", "torch.library",
    "torch.onnx", "torch.ops", "torch.package", "torch.serialization", "torch.storage", "torch.testing",
    "torch.utils", "triton",
    # processes, files and the network
    "aiohttp", "boto3", "botocore", "fabric", "fsspec", "gcsfs", "httpx", "huggingface_hub", "invoke", "paramiko",
    "pexpect", "plumbum", "psutil", "ptyprocess", "requests", "s3fs", "scipy.io", "sh", "torch.distributed",
    "torch.hub", "torch.multiprocessing", "transformers.utils", "urllib3",
})  # fmt: skip

_ATTRIBUTES = frozenset({
    "apply", "attrgetter", "call", "check_output", "compile", "delattr", "eval", "exec", "execfile", "exit",
    "from_file", "from_pretrained", "fromfile", "fromregex", "genfromtxt", "getattr", "globals", "import_module",
    "input", "load", "load_library", "load_state_dict_from_url", "load_from_bytes", "loads", "loadtxt", "locals",
    "memmap", "methodcaller", "open", "open_memmap", "partial", "popen", "read_pickle", "reduce", "resolve_name", "run",
    "runcode", "runstring", "save", "savetxt", "savez", "setattr", "spawn", "system", "tofile", "unpickle", "vars",
    "write_file",
})  # fmt: skip


def is_addable(name: str) -> bool:
    """Whether an operator may add a global: whether nothing that it goes through reaches out."""
    if len(name) > _MAX_CHARACTERS or not _WORD.fullmatch(name):
        return False
    module, _, attribute = name.partition(":") if ":" in name else name.rpartition(".")
    modules, attributes = module.split("."), attribute.split(".")
    within = {".".join(modules[:count]) for count in range(1, len(modules) + 1)} | {name}
    return not (
        within & _MODULES
        or modules[0] in sys.stdlib_module_names
        or any(part.startswith("__") for part in (*modules, *attributes))
        or any(_reaches_out(part.lstrip("_")) for part in attributes)
    )


def allowed_names(words: Iterable[str]) -> frozenset[str]:
    """Read GATE_PICKLE_ALLOW: globals as `module.name`, a class within a class as `module:Outer.Inner`.

    Raises:
        ValueError: a sentence on each word that is no such name, or names what nobody can allow.
    """
    names = frozenset(words)
    problems = [_problem(name) for name in sorted(names) if not is_addable(name)]
    if problems:
        raise ValueError("; ".join(problems))
    return names


def _problem(word: str) -> str:
    if len(word) > _MAX_CHARACTERS or not _WORD.fullmatch(word):
        return f"{quoted(word)} is no global: write module.name, or module:Outer.Inner for a class within a class"
    return f"{quoted(word)} cannot be allowed: through it a pickle could run code or reach files"


def _reaches_out(attribute: str) -> bool:
    """Whether it is a way out: a module that another one imported, or a function of a telling name."""
    return attribute in _ATTRIBUTES or attribute in sys.stdlib_module_names

"""What the process that checks can do, before it reads the first foreign byte: read what it is given, compute, answer.

It keeps nothing that it could do harm with. It sees no secrets (its environment is empty), the kernel refuses it
every call but those on the list below (no file can be opened or written, no process started, no socket made), and its
memory is bounded.
"""

from __future__ import annotations

import codecs
import ctypes
import platform
import resource
from contextlib import suppress
from pathlib import Path
from typing import Final

MEMORY_BYTES: Final = 192 << 20
"""Of address space. The interpreter takes 30 MiB; two of these and the worker stay within 512 MiB."""

_OPEN_FILES: Final = 16

# What may have to be looked up by name later, when no file can be opened any more.
_CODECS = ("ascii", "latin-1", "utf-8", "utf-16", "utf-32", "raw-unicode-escape", "unicode-escape", "cp437")

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2

# For each machine: its number in seccomp's data, and those of the calls that an interpreter needs to compute, to read
# what it was handed, to talk to the worker, and to end. As in the kernel's asm/unistd.h.
_CALLS: Final[dict[str, tuple[int, dict[str, int]]]] = {
    "x86_64": (0xC000003E, {
        "close": 3, "fstat": 5, "mmap": 9, "munmap": 11, "brk": 12, "rt_sigreturn": 15, "pread64": 17, "mremap": 25,
        "madvise": 28, "sendto": 44, "recvfrom": 45, "recvmsg": 47, "exit": 60, "futex": 202, "restart_syscall": 219,
        "fadvise64": 221, "clock_gettime": 228, "exit_group": 231, "newfstatat": 262, "getrandom": 318,
    }),
    "aarch64": (0xC00000B7, {
        "close": 57, "fstat": 80, "mmap": 222, "munmap": 215, "brk": 214, "rt_sigreturn": 139, "pread64": 67,
        "mremap": 216, "madvise": 233, "sendto": 206, "recvfrom": 207, "recvmsg": 212, "exit": 93, "futex": 98,
        "restart_syscall": 128, "fadvise64": 223, "clock_gettime": 113, "exit_group": 94, "newfstatat": 79,
        "getrandom": 278,
    }),
}  # fmt: skip

_LOAD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF: load a word, jump if equal, return
_NUMBER_AT, _MACHINE_AT = 0, 4  # in struct seccomp_data
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | 1, 0x80000000  # EPERM: an error in Python, and so a refusal


class _Step(ctypes.Structure):
    _fields_ = (("code", ctypes.c_ushort), ("yes", ctypes.c_ubyte), ("no", ctypes.c_ubyte), ("value", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.POINTER(_Step)))


def confine() -> str | None:
    """Give up what is not needed, for good; return what could not be given up, in words, or None."""
    for name in _CODECS:
        codecs.lookup(name)
    with suppress(OSError):  # where memory is short, the worker is to live on
        Path("/proc/self/oom_score_adj").write_text("1000")
    for which, limit in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(which, (limit, limit))
    return _filter_calls()


def _filter_calls() -> str | None:
    machine = platform.machine()
    if machine not in _CALLS:
        return f"there is no list of system calls for {machine}"
    steps = _steps(*_CALLS[machine])
    program = _Program(len(steps), (_Step * len(steps))(*steps))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    for option, value, pointer in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0),
        (_PR_SET_SECCOMP, _FILTER, ctypes.addressof(program)),
    ):
        if prctl(option, value, pointer, 0, 0) != 0:
            return f"the kernel does not filter system calls (errno {ctypes.get_errno()})"
    return None


def _steps(machine: int, calls: dict[str, int]) -> list[_Step]:
    """The filter: another machine's calls end the process, those on the list pass, all others fail."""
    allow = [_Step(_IF_EQUAL, len(calls) - index, 0, number) for index, number in enumerate(calls.values())]
    return [
        _Step(_LOAD, 0, 0, _MACHINE_AT),
        _Step(_IF_EQUAL, 1, 0, machine),
        _Step(_RETURN, 0, 0, _KILL),
        _Step(_LOAD, 0, 0, _NUMBER_AT),
        *allow,
        _Step(_RETURN, 0, 0, _REFUSE),
        _Step(_RETURN, 0, 0, _ALLOW),
    ]

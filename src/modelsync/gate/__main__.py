"""`python -I -m modelsync.gate`: started by the worker, with a socket as its standard input."""

from __future__ import annotations

import socket

import picklescan.scanner  # noqa: F401 - asked for later, when no module can be loaded any more

from modelsync.gate.checker import serve
from modelsync.gate.judge import judge

if __name__ == "__main__":
    serve(socket.socket(fileno=0), judge)

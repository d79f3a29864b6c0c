"""`python -I -m modelsync.gate`: started by the worker, with a socket as its standard input."""

from __future__ import annotations

import socket

from modelsync.gate.checker import serve
from modelsync.gate.judge import judge

if __name__ == "__main__":
    serve(socket.socket(fileno=0), judge)

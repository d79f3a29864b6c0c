#!/bin/sh
# Prints the path of a uv that can be used, installing one for this checkout if there is none.
set -eu
UV_VERSION="0.9.0"
PYTHON="${PYTHON:-python3}"
here="$(cd "$(dirname "$0")/.." && pwd)"

if command -v uv >/dev/null 2>&1; then
  command -v uv
  exit 0
fi
tools="$here/.cache/tools"
if [ ! -x "$tools/bin/uv" ]; then
  "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "modelsync needs Python 3.11 or later: set PYTHON to one, for example make PYTHON=python3.12 test" >&2
    exit 1
  }
  if ! "$PYTHON" -c 'import venv, ensurepip' >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
      apt-get update -qq >&2 && apt-get install -y -qq python3-venv >&2
    else
      echo "Python's venv module is missing: install it (Debian: apt-get install python3-venv), or install uv" >&2
      exit 1
    fi
  fi
  "$PYTHON" -m venv "$tools" >&2
  "$tools/bin/python" -m pip install --quiet --disable-pip-version-check "uv>=$UV_VERSION,<1" >&2
fi
echo "$tools/bin/uv"

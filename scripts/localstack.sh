#!/bin/sh
# Installs LocalStack into .cache/localstack, once for each lock; without it the tests that need it are skipped.
set -u
cd "$(dirname "$0")/.." || exit 1
lock="tests/localstack/requirements.lock"
place=".cache/localstack"
cmp -s "$lock" "$place/installed.lock" && exit 0
uv="$(./scripts/bootstrap.sh)" &&
  "$uv" venv --quiet --clear --no-python-downloads --python 3.11 "$place" &&
  "$uv" pip sync --quiet --compile-bytecode --python "$place/bin/python" --require-hashes "$lock" &&
  cp "$lock" "$place/installed.lock" &&
  exit 0
echo "Some tests will be skipped: LocalStack cannot be installed (it needs Python 3.11 beside this one, and PyPI)" >&2

#!/bin/sh
# Fuzzes each reader of hostile input (tests/fuzz) for so many seconds: fuzz.sh SECONDS [TARGET…]. What it learns stays
# in .cache/fuzz, and so does an input that breaks something: mend it, and keep the input in tests/fuzz/corpus.
set -eu
cd "$(dirname "$0")/.."
seconds="$1"
shift
[ $# -gt 0 ] || set -- events commit listing answer records signature checker pickles \
  safetensors onnx torch arrays jsontext yamltext wav text model
lock="tests/fuzz/requirements.lock"
place=".cache/fuzz"
if ! cmp -s "$lock" "$place/installed.lock"; then
  rm -rf "$place/python"
  "$(./scripts/bootstrap.sh)" pip install --quiet --target "$place/python" --python .venv/bin/python \
    --only-binary :all: --require-hashes --requirement "$lock"
  cp "$lock" "$place/installed.lock"
fi
for target in "$@"; do
  mkdir -p "$place/corpus/$target"
  echo "fuzzing $target for $seconds s"
  if ! PYTHONPATH="$place/python" .venv/bin/python tests/fuzz/run.py "$target" -max_total_time="$seconds" -seed=1 \
    -max_len=8192 -timeout=10 -rss_limit_mb=1024 -artifact_prefix="$place/$target-" \
    "$place/corpus/$target" "tests/fuzz/corpus/$target" >"$place/$target.log" 2>&1; then
    cat "$place/$target.log" >&2
    exit 1
  fi
  grep '^Done' "$place/$target.log"
done

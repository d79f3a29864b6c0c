#!/bin/sh
# Writes the worker's SBOM (CycloneDX) from requirements.lock: scripts/sbom.sh FILE
set -eu
cd "$(dirname "$0")/.."
bin="${BIN:-.venv/bin}"
project="$(mktemp)"
trap 'rm -f "$project"' EXIT
sed "s/^dynamic = .*/version = \"$("$bin/hatchling" version)\"/" pyproject.toml >"$project"
mkdir -p "$(dirname "$1")"
"$bin/cyclonedx-py" requirements --pyproject "$project" --mc-type application --output-reproducible --output-file "$1" \
  requirements.lock

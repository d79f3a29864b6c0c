#!/bin/sh
# Gets what judges deploy/ into .cache/deploy-tools: checkov and kubernetes-validate, promtool, and kubectl where there is
# none. Nothing is installed on the machine: Debian's packages are unpacked. Without one of them its tests are skipped.
set -u
cd "$(dirname "$0")/.." || exit 1
lock="tests/deploy/requirements.lock"
place=".cache/deploy-tools"

unpack() { # PACKAGE BINARY: a Debian package's binary, without its services and dependencies
  if ! command -v "$2" >/dev/null 2>&1 && [ ! -x "$place/debian/usr/bin/$2" ]; then
    rm -rf "$place/download" && mkdir -p "$place/download" "$place/debian"
    (
      cd "$place/download" &&
        { apt-get download -qq "$1" || { apt-get update -qq && apt-get download -qq "$1"; }; } &&
        dpkg-deb --fsys-tarfile "$1"_*.deb >package.tar
    ) >/dev/null 2>&1 &&
      tar -x -f "$place/download/package.tar" -C "$place/debian" "./usr/bin/$2" ||
      echo "Some tests will be skipped: install $2 (Debian: package $1)" >&2
    rm -rf "$place/download"
  fi
}

if ! cmp -s "$lock" "$place/installed.lock"; then
  uv="$(./scripts/bootstrap.sh)" &&
    "$uv" venv --quiet --clear --python .venv/bin/python "$place" &&
    "$uv" pip sync --quiet --python "$place/bin/python" --require-hashes "$lock" &&
    cp "$lock" "$place/installed.lock" ||
    echo "Some tests will be skipped: checkov and kubernetes-validate cannot be installed (from PyPI)" >&2
fi
unpack prometheus promtool
command -v kustomize >/dev/null 2>&1 || unpack kubernetes-client kubectl

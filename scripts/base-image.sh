#!/bin/sh
# Prints the name of a base image for tests where no registry can be reached: Debian bookworm's Python 3.11, made by
# debootstrap, trusting the authorities that this machine trusts. Kept in .cache/base-image.tar.
set -eu
NAME="localhost/modelsync-base:bookworm"
cache="$(cd "$(dirname "$0")/.." && pwd)/.cache"
archive="$cache/base-image.tar"

if [ ! -f "$archive" ]; then
  mkdir -p "$cache"
  root="$(mktemp -d "$cache/base-image.XXXXXX")"
  trap 'rm -rf "$root" "$archive.part"' EXIT
  debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates bookworm "$root" >&2
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
  tar --directory "$root" --create --file "$archive.part" .
  mv "$archive.part" "$archive"
fi
podman image exists "$NAME" || podman import --quiet "$archive" "$NAME" >&2
echo "$NAME"

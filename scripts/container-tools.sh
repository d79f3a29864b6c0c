#!/bin/sh
# Installs what `make container-test` uses, where that is possible; without it these tests are skipped and say why.
set -u
missing=""
PATH="$PATH:/usr/sbin:/sbin"
for tool in buildah podman runc; do
  command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
[ -n "${BASE_IMAGE:-}" ] || command -v debootstrap >/dev/null 2>&1 || missing="$missing debootstrap"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  # shellcheck disable=SC2086 # a list of words
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } \
    >/dev/null 2>&1 && exit 0
fi
echo "The container tests will be skipped: install$missing" >&2

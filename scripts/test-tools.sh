#!/bin/sh
# Installs the Debian packages that some tests use, where that is possible; without them these tests are skipped.
set -u
missing=""
command -v strace >/dev/null 2>&1 || missing="$missing strace"
PATH="$PATH:/usr/sbin:/sbin"
command -v mkfs.ext4 >/dev/null 2>&1 || missing="$missing e2fsprogs"
command -v mkfs.xfs >/dev/null 2>&1 || missing="$missing xfsprogs"
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
command -v chromedriver >/dev/null 2>&1 || missing="$missing chromium-driver"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  # shellcheck disable=SC2086 # a list of words
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } \
    >/dev/null 2>&1 && exit 0
fi
echo "Some tests will be skipped: install$missing (Debian: apt-get install$missing)" >&2

#!/bin/sh
# Installs what is missing of Postgres, PgBouncer and a linker, with Debian's packages. Its
# arguments go before apt-get: sudo, or nothing.
set -eu

has() { command -v "$1" >/dev/null || ls /usr/lib/postgresql/*/bin/"$1" >/dev/null 2>&1 ||
    [ -x "/usr/sbin/$1" ]; }

missing=
has postgres || missing="$missing postgresql"
has pgbouncer || missing="$missing pgbouncer"
has cc || missing="$missing gcc libc6-dev"
[ -n "$missing" ] || exit 0

command -v apt-get >/dev/null || {
    echo "missing:$missing; apt-get is not here to install them" >&2
    exit 1
}
export DEBIAN_FRONTEND=noninteractive
"$@" apt-get update -qq
# shellcheck disable=SC2086 # one word a package
"$@" apt-get install -y -qq --no-install-recommends $missing

#!/bin/sh
# Installs what is missing of the programs that `make bench` compares with, from Debian's packages.
# Its arguments go before apt-get: sudo, or nothing. What can't be installed is said and left out.
set -eu

missing=
wants() { command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || missing="$missing $2"; }
wants wrk wrk
wants h2load nghttp2-client
wants ab apache2-utils
wants nginx nginx-light
[ -n "$missing" ] || exit 0

command -v apt-get >/dev/null || {
    echo "missing:$missing; apt-get is not here to install them" >&2
    exit 0
}

# A web server that nobody asked for must not start on port 80.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap '"$@" rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | "$@" tee "$policy" >/dev/null
    "$@" chmod 0755 "$policy"
fi

"$@" apt-get update -qq || true
for package in $missing; do
    "$@" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$package" ||
        echo "$package can't be installed: its rows will say so" >&2
done
case "$missing" in
*nginx*) ! command -v systemctl >/dev/null || "$@" systemctl disable --quiet nginx || true ;;
esac

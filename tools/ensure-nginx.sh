#!/bin/sh
# Makes sure that the proxy tests have an nginx: finds one, or installs it where apt and root allow.
set -eu

find_nginx() {
    for name in "${NGINX:-}" nginx /usr/sbin/nginx /usr/local/sbin/nginx; do
        [ -n "$name" ] && command -v "$name" >/dev/null && "$name" -v >/dev/null 2>&1 && return 0
    done
    return 1
}

find_nginx && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing nginx for the proxy tests …"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nginx-light >/dev/null
    find_nginx && exit 0
fi

echo "The proxy tests need nginx: install it, or set NGINX=/path/to/it." >&2
[ "${CI:-}" != true ]

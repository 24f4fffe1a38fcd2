#!/bin/sh
# Makes sure that the Hub's tests have a configurable-http-proxy: finds one, or installs it into the folder $1 by npm.
set -eu

folder=${1:?"usage: ensure-hub-proxy.sh FOLDER"}

find_proxy() {
    for name in "${CONFIGURABLE_HTTP_PROXY:-}" "$folder/node_modules/.bin/configurable-http-proxy" configurable-http-proxy; do
        [ -n "$name" ] && command -v "$name" >/dev/null && "$name" --version >/dev/null 2>&1 && return 0
    done
    return 1
}

find_proxy && exit 0

if ! command -v npm >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing npm for the Hub's tests …"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends npm >/dev/null
fi

if command -v npm >/dev/null; then
    echo "Installing configurable-http-proxy for the Hub's tests …"
    npm install --prefix "$folder" --loglevel=error --no-audit --no-fund --no-update-notifier configurable-http-proxy@5 \
        >/dev/null && find_proxy && exit 0
fi

echo "The Hub's tests need configurable-http-proxy 5 (npm): install it, or set CONFIGURABLE_HTTP_PROXY=/path/to/it." >&2
[ "${CI:-}" != true ]

#!/bin/sh
# Makes sure that the browser tests have a Chromium: finds one, or installs it where apt and root allow.
set -eu

find_chromium() {
    for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable; do
        [ -n "$name" ] && command -v "$name" >/dev/null && "$name" --version >/dev/null 2>&1 && return 0
    done
    return 1
}

find_chromium && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing chromium for the browser tests …"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
    find_chromium && exit 0
fi

echo "The browser tests need chromium or google-chrome: install one, or set CHROMIUM=/path/to/it." >&2
[ "${CI:-}" != true ]

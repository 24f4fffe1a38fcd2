#!/bin/sh
# Makes sure that the browser tests have axe-core, which finds faults of accessibility: installs it into the folder $1 by npm.
set -eu

folder=${1:?"usage: ensure-axe.sh FOLDER"}

[ -f "$folder/node_modules/axe-core/axe.min.js" ] && exit 0

if command -v npm >/dev/null; then
    echo "Installing axe-core for the browser tests …"
    npm install --prefix "$folder" --loglevel=error --no-audit --no-fund --no-update-notifier axe-core@4 >/dev/null \
        && [ -f "$folder/node_modules/axe-core/axe.min.js" ] && exit 0
fi

echo "A test of accessibility needs axe-core 4 (npm): install it into $folder." >&2
[ "${CI:-}" != true ]

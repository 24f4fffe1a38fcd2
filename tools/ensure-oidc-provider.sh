#!/bin/sh
# Makes sure that the tests have oidc-provider, a certified OpenID provider: installs it into the folder $1 by npm.
set -eu

folder=${1:?"usage: ensure-oidc-provider.sh FOLDER"}

[ -f "$folder/node_modules/oidc-provider/lib/index.js" ] && exit 0

if command -v npm >/dev/null; then
    echo "Installing oidc-provider for the tests of logins …"
    npm install --prefix "$folder" --loglevel=error --no-audit --no-fund --no-update-notifier oidc-provider@9 >/dev/null \
        && [ -f "$folder/node_modules/oidc-provider/lib/index.js" ] && exit 0
fi

echo "A test of logins needs oidc-provider 9 (npm): install it into $folder." >&2
[ "${CI:-}" != true ]

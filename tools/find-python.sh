#!/bin/sh
# Prints the path of a Python of the given version (3.13) that runs; fails where there is none.
# PY313=/path/to/python is asked first. A pyenv shim may be on PATH and yet not run.
set -u
version=$1
named=$(printenv "PY$(echo "$version" | tr -d .)" || true)
probe="import sys, venv, ensurepip
if '%d.%d' % sys.version_info[:2] == '$version': print(sys.executable)"

for candidate in "$named" "python$version" "$HOME/.pyenv/versions/$version"*/bin/python "/usr/local/bin/python$version"; do
    path=$("$candidate" -c "$probe" 2>/dev/null) && [ -n "$path" ] && echo "$path" && exit 0
done
exit 1

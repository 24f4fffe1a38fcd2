#!/bin/sh
# Writes constraints.txt anew: the newest releases of all that the tests and the documentation install, as they work together.
set -eu

folder=build/constraints
rm -rf "$folder"
"${PYTHON:-python3}" -m venv "$folder"
"$folder/bin/python" -m pip install -qq --disable-pip-version-check '.[test,docs]' 'jupyter-collaboration>=5' 'jupyter_server_nbmodel>=0.2.9'
{
    echo "# What make installs, so that a new release elsewhere does not break the build. Renewed by: make constraints"
    "$folder/bin/python" -m pip list --format=freeze --disable-pip-version-check \
        | grep -viE '^(jupyter-app-meta|pip|setuptools|wheel)==' | LC_ALL=C sort -f
} > constraints.txt
rm -rf "$folder"

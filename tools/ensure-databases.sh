#!/bin/sh
# Makes sure that the tests of state have a Redis, a PostgreSQL and a MariaDB to start: finds them, or installs them where
# apt and root allow. Nothing here starts one.
set -eu

find_redis() {
    for name in "${REDIS_SERVER:-}" redis-server valkey-server; do
        [ -n "$name" ] && command -v "$name" >/dev/null && return 0
    done
    return 1
}

find_postgres() {
    for name in "${POSTGRES_BIN:-}" $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null) $(dirname "$(command -v initdb || echo /none/initdb)"); do
        [ -x "$name/initdb" ] && [ -x "$name/postgres" ] && return 0
    done
    return 1
}

find_mariadb() {
    for name in mariadbd mariadb-install-db; do
        PATH="${MARIADB_BIN:-}:$PATH:/usr/sbin" command -v "$name" >/dev/null || return 1
    done
}

find_all() {
    find_redis && find_postgres && find_mariadb
}

find_all && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing Redis, PostgreSQL and MariaDB for the tests of state …"
    apt-get update -qq
    # The packages would start a server of the system, which the tests do not use.
    mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] || echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.conf
    # The core packages of MariaDB have its programs, and no service. Its server needs a program of the client's.
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        redis-server postgresql mariadb-server-core mariadb-client-core >/dev/null
    find_all && exit 0
fi

echo "The tests of state need Redis, PostgreSQL and MariaDB: install them, or set REDIS_SERVER, POSTGRES_BIN and MARIADB_BIN." >&2
[ "${CI:-}" != true ]

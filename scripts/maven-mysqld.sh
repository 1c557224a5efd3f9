# Sourced by `mysqld-8.0` and `mysqld-5.7`, which define SERIES, ARTIFACT and OWN (options of that version alone): a MySQL
# that runs from its folder, with the libraries of this machine.
# shellcheck shell=bash

SERVERS=${HEADWATER_SERVERS:-$HOME/.cache/headwater/servers}
ROOT=$SERVERS/mysql-$SERIES
KIND=mysqld-$SERIES

skip() {
    echo "SKIP: $*"
    exit 77
}

install_root() {
    [[ -x $ROOT/bin/mysqld ]] && return
    [[ $(uname -sm) == "Linux x86_64" ]] || skip "MySQL $SERIES is there for Linux on x86-64 only"
    command -v mvn >/dev/null || skip "no mvn to fetch MySQL $SERIES with"
    command -v unzip >/dev/null || skip "no unzip to unpack MySQL $SERIES with"
    mkdir -p "$SERVERS"
    exec 9>"$SERVERS/.mysql-$SERIES.lock"
    flock 9
    [[ -x $ROOT/bin/mysqld ]] && return
    local building=$ROOT.building
    rm -rf "$building" && mkdir -p "$building"
    mvn -q -B dependency:copy "-Dartifact=com.facebook.presto:$ARTIFACT:0.6" "-DoutputDirectory=$building" >&2 ||
        skip "mvn cannot fetch MySQL $SERIES"
    unzip -p "$building/$ARTIFACT-0.6.jar" mysql-Linux-amd64.tar.gz | tar xz -C "$building"
    rm "$building/$ARTIFACT-0.6.jar"
    local missing
    missing=$(ldd "$building/bin/mysqld" | awk '/not found/ { print $1 }' | xargs)
    [[ -z $missing ]] || skip "MySQL $SERIES needs $missing"
    mv "$building" "$ROOT"
    exec 9>&-
}

options() { # data folder
    printf '%s\n' --no-defaults "--user=$(id -un)" "--basedir=$ROOT" "--datadir=$1" "--tmpdir=${1%data}tmp" "--lc-messages-dir=$ROOT/share"
}

initialize() { # data folder, option…
    local all
    mapfile -t all < <(options "$1")
    "$ROOT/bin/mysqld" "${all[@]}" --initialize-insecure "${@:2}"
}

serve() { # folder, data folder, port, option…
    local data=$2 port=$3 all
    shift 3
    mapfile -t all < <(options "$data")
    exec "$ROOT/bin/mysqld" "${all[@]}" --port="$port" --bind-address=127.0.0.1 --socket="$data/s.sock" --pid-file="$data/pid" \
        --secure-file-priv= --server-id=1 --log-bin=binlog --gtid-mode=ON --enforce-gtid-consistency=ON --local-infile=ON \
        --character-set-server=utf8mb4 --innodb-buffer-pool-size=256M --innodb-log-file-size=64M --max-binlog-size=64M \
        ${OWN[@]+"${OWN[@]}"} "$@"
}

folder_root() {
    echo "${TMPDIR:-/tmp}"
}

inside_of() { # folder → data folder
    echo "$1/data"
}

source "$(dirname "${BASH_SOURCE[0]}")/server.sh"

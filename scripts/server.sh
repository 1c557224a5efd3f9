# Sourced by `mysqld` and `mariadbd`, which define KIND, skip, install_root, initialize, serve, folder_root, inside_of:
# the life of a private server. A folder `headwater-<kind>.XXXXXX` holds port, options, data and log.
# shellcheck shell=bash

alive() { # folder
    local pid
    pid=$(cat "$1/process" 2>/dev/null) && [[ -n $pid && -d /proc/$pid ]] && [[ $(cat "/proc/$pid/stat" 2>/dev/null) != *") Z "* ]]
}

free_port() {
    local port
    for _ in $(seq 200); do
        port=$((20000 + RANDOM % 12000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port" && return; }
    done
    echo "no free port" >&2
    exit 1
}

answers() { # port: whether a server greets; needs no client program
    local byte
    exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
    IFS= read -r -t 5 -n 6 -d '' byte <&3 || [[ -n ${byte:-} ]] || { exec 3>&-; return 1; }
    exec 3>&-
}

start() { # folder
    local folder=$1 port options=() end=$((SECONDS + 120))
    port=$(cat "$folder/port")
    mapfile -t options <"$folder/options"
    # Nothing of the caller's may be inherited: a pipe kept open would make it wait for ever.
    (
        cd /
        serve "$folder" "$(inside_of "$folder")" "$port" ${options[@]+"${options[@]}"}
    ) </dev/null >>"$folder/log" 2>&1 3>&- 9>&- &
    echo $! >"$folder/process"
    disown
    while ! (answers "$port") 2>/dev/null; do
        if ! alive "$folder"; then
            return 1
        fi
        if ((SECONDS > end)); then
            kill -9 "$(cat "$folder/process")" 2>/dev/null || true
            echo "no answer within 120 s" >>"$folder/log"
            return 2
        fi
        sleep 0.1
    done
}

up() {
    local folder
    install_root >&2 || exit $?
    mkdir -p "$(folder_root)"
    folder=$(mktemp -d "$(folder_root)/headwater-$KIND.XXXXXX")
    printf '%s\n' "$@" >"$folder/options"
    [[ $# -gt 0 ]] || : >"$folder/options"
    # How names are stored is part of the data.
    local option data_options=()
    for option; do
        [[ $option == --lower-case-table-names=* ]] && data_options+=("$option")
    done
    # Of its own: a server that starts removes the temporary tables of all others there.
    mkdir "$folder/tmp"
    if ! initialize "$(inside_of "$folder")" ${data_options[@]+"${data_options[@]}"} >"$folder/log" 2>&1; then
        # What went wrong stands first; advice follows.
        head -20 "$folder/log" >&2
        rm -rf "$folder"
        exit 1
    fi
    for attempt in 1 2 3 4 5; do
        free_port >"$folder/port"
        if start "$folder"; then
            echo "$(cat "$folder/port") $folder"
            return
        fi
        # Someone else was faster to take the port: try another one.
        grep -qi 'address already in use' "$folder/log" || break
        echo "port taken, attempt $attempt" >>"$folder/log"
    done
    tail -20 "$folder/log" >&2
    rm -rf "$folder"
    exit 1
}

find_folder() { # PORT|DIR
    local folder
    if [[ $1 == */* ]]; then
        [[ $1 == */headwater-"$KIND".?????? && -f $1/port ]] || return 1
        echo "$1"
        return
    fi
    for folder in "$(folder_root)"/headwater-"$KIND".??????; do
        [[ $(cat "$folder/port" 2>/dev/null) == "$1" ]] && echo "$folder" && return
    done
    return 1
}

down() { # PORT|DIR
    local folder process end=$((SECONDS + 60))
    folder=$(find_folder "$1") || { echo "no server of $0 there: $1" >&2 && exit 1; }
    process=$(cat "$folder/process" 2>/dev/null || true)
    if alive "$folder"; then
        kill "$process" 2>/dev/null || true
        while alive "$folder"; do
            ((SECONDS > end)) && kill -9 "$process" 2>/dev/null
            sleep 0.1
        done
    fi
    rm -rf "$folder"
}

case ${1:-} in
install) install_root ;;
up) shift && up "$@" ;;
start) start "$2" ;;
down) down "$2" ;;
*)
    sed -n '2,/^set/{/^#/p}' "$0"
    exit 2
    ;;
esac

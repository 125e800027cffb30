#!/usr/bin/env bash
# Starts, stops and asks zkserver, called as Apache ZooKeeper's script of this name is.
#
#   zkServer.sh [--config DIR] {start|start-foreground|stop|restart|status|version|print-cmd} [FILE]
#
# FILE is a configuration in the directory DIR, or a path if it has a slash. Environment, as in
# Apache ZooKeeper:
#
#   ZOOCFGDIR, ZOOCFG     the directory and the file of the configuration (../conf, zoo.cfg)
#   ZOO_LOG_DIR           where `start` writes the log (../logs)
#   ZOOPIDFILE            where `start` writes the process id (zookeeper_server.pid in dataDir)
#   SERVER_JVMFLAGS, JVMFLAGS         -D in them is read by the server
#   ZOO_DATADIR_AUTOCREATE_DISABLE    not empty: data directories must exist
#   ZOO_NOEXEC            not empty: `start-foreground` waits for the server instead of becoming it
#
# and of its own: ZKSERVER, the binary. zookeeper-env.sh and java.env in the directory of the
# configuration are read first. There is no Java, so what sets it up has no effect.

here=$(readlink -f "${BASH_SOURCE[0]}" 2>/dev/null || printf %s "${BASH_SOURCE[0]}")
ZOOBINDIR=$(cd "$(dirname "$here")" && pwd)

if [[ $1 == --config && $# -gt 1 ]]; then
    ZOOCFGDIR=$2
    shift 2
fi
if [[ -z $ZOOCFGDIR ]]; then
    ZOOCFGDIR=$ZOOBINDIR/../conf
    [[ -e $ZOOCFGDIR ]] || ZOOCFGDIR=$ZOOBINDIR/../etc/zookeeper
fi
for file in "$ZOOCFGDIR/zookeeper-env.sh" "$ZOOCFGDIR/java.env"; do
    # shellcheck disable=SC1090
    [[ -f $file ]] && . "$file"
done
# The files may set them without passing them on.
export SERVER_JVMFLAGS JVMFLAGS

command=$1
file=${2:-${ZOOCFG:-zoo.cfg}}
case $file in
    */*) ZOOCFG=$file ;;
    *) ZOOCFG=$ZOOCFGDIR/$file ;;
esac

usage() {
    echo "Usage: $0 [--config <conf-dir>] {start|start-foreground|stop|version|restart|status|print-cmd} [<file>]" >&2
}

if [[ -z $ZKSERVER ]]; then
    for ZKSERVER in "$ZOOBINDIR/zkserver" "$ZOOBINDIR/../target/release/zkserver" "$(type -p zkserver)"; do
        [[ -x $ZKSERVER ]] && break
    done
fi
if [[ ! -x $ZKSERVER ]]; then
    echo "Error: there is no zkserver beside this script, in target/release or in PATH; set ZKSERVER to it." >&2
    exit 1
fi

case $command in
    version) exec "$ZKSERVER" --version ;;
    start | start-foreground | stop | restart | status | print-cmd) ;;
    *) usage; exit 2 ;;
esac

if [[ ! -e $ZOOCFG ]]; then
    echo "Error: there is no configuration $ZOOCFG; zoo_sample.cfg shows what stands in one." >&2
    exit 1
fi
echo "Using config: $ZOOCFG" >&2

defines=()
[[ -n $ZOO_DATADIR_AUTOCREATE_DISABLE ]] && defines=(-Dzookeeper.datadir.autocreate=false)
server=("$ZKSERVER" "${defines[@]}" --config "$ZOOCFG")

# What the configuration comes to, whatever its format and wherever a value stands.
effective=$("$ZKSERVER" --check-config "${defines[@]}" "$ZOOCFG" 2>&1)
is_valid=$?

# Prints the value of a key in effect.
value_of() {
    local line
    while IFS= read -r line; do
        if [[ $line == "$1="* ]]; then
            line=${line#*=}
            line=${line%  # *}
            printf %s "${line%"${line##*[! ]}"}"
            return
        fi
    done <<<"$effective"
}

must_be_valid() {
    if ((is_valid != 0)); then
        printf '%s\n' "$effective" >&2
        exit 1
    fi
}

# Finds the data, the log and the file with the process id.
locate() {
    must_be_valid
    data_dir=$(value_of dataDir)
    data_log_dir=$(value_of dataLogDir)
    ZOOPIDFILE=${ZOOPIDFILE:-$data_dir/zookeeper_server.pid}
    ZOO_LOG_DIR=${ZOO_LOG_DIR:-$ZOOBINDIR/../logs}
    out=$ZOO_LOG_DIR/zookeeper-${USER:-$(id -un)}-server-${HOSTNAME:-localhost}.out
}

# The process id in the file, if that process is there and is this server.
running_pid() {
    local pid name
    [[ -f $ZOOPIDFILE ]] || return 1
    pid=$(<"$ZOOPIDFILE")
    [[ $pid =~ ^[0-9]+$ ]] && kill -0 "$pid" 2>/dev/null || return 1
    # Process ids are used again, after a reboot above all.
    if [[ -r /proc/$pid/comm ]]; then
        name=${ZKSERVER##*/}
        [[ $(<"/proc/$pid/comm") == "${name:0:15}" ]] || return 1
    fi
    printf %s "$pid"
}

# Sends a four-letter word to the client port and prints the answer.
word() {
    local line
    {
        exec 3<>"/dev/tcp/$address/$port" || return 1
    } 2>/dev/null
    printf %s "$1" >&3
    while IFS= read -r -t 5 line <&3; do
        printf '%s\n' "$line"
    done
    exec 3>&-
}

find_client_port() {
    must_be_valid
    port=$(value_of clientPort)
    address=$(value_of clientPortAddress)
    address=${address:-localhost}
}

# Fails if directories that may not be created are missing.
data_must_exist() {
    [[ -n $ZOO_DATADIR_AUTOCREATE_DISABLE ]] || return 0
    if [[ ! -d $data_dir/version-2 ]]; then
        echo "ZooKeeper data directory is missing at $data_dir: mount it, fix the path or create it"
        exit 1
    fi
    if [[ ! -d $data_log_dir/version-2 ]]; then
        echo "ZooKeeper txnlog directory is missing at $data_log_dir: mount it, fix the path or create it"
        exit 1
    fi
}

start() {
    local pid tenth
    locate
    echo -n "Starting zookeeper ... "
    if pid=$(running_pid); then
        echo "already running as process $pid."
        exit 1
    fi
    data_must_exist
    if ! mkdir -p "$ZOO_LOG_DIR" "$(dirname "$ZOOPIDFILE")"; then
        echo FAILED TO START
        exit 1
    fi
    (
        trap '' HUP
        exec "${server[@]}" >"$out" 2>&1 </dev/null
    ) &
    pid=$!
    if ! echo -n "$pid" >"$ZOOPIDFILE"; then
        kill "$pid"
        echo FAILED TO WRITE PID
        exit 1
    fi
    # Alive for a second, as in Apache ZooKeeper, or serving before that.
    find_client_port
    for tenth in 1 2 3 4 5 6 7 8 9 10; do
        sleep 0.1
        kill -0 "$pid" 2>/dev/null || break
        [[ -n $(word srvr) ]] && break
    done
    if ! kill -0 "$pid" 2>/dev/null; then
        echo FAILED TO START
        grep ERROR "$out" >&2 || cat "$out" >&2
        exit 1
    fi
    echo STARTED
}

stop() {
    local pid tenth
    locate
    echo -n "Stopping zookeeper ... "
    if [[ ! -f $ZOOPIDFILE ]]; then
        echo "no zookeeper to stop (could not find file $ZOOPIDFILE)"
        return
    fi
    if ! pid=$(running_pid); then
        echo "no zookeeper to stop (the process of $ZOOPIDFILE is gone)"
        rm -f "$ZOOPIDFILE"
        return
    fi
    kill "$pid"
    for ((tenth = 0; tenth < 300; tenth++)); do
        if ! kill -0 "$pid" 2>/dev/null; then
            rm -f "$ZOOPIDFILE"
            echo STOPPED
            return
        fi
        sleep 0.1
    done
    echo "still running as process $pid."
    exit 1
}

case $command in
    start) start ;;
    start-foreground)
        if [[ -n $ZOO_DATADIR_AUTOCREATE_DISABLE ]]; then
            locate
            data_must_exist
        fi
        [[ -n $ZOO_NOEXEC ]] || exec "${server[@]}"
        "${server[@]}"
        ;;
    stop) stop ;;
    restart)
        stop
        start
        ;;
    status)
        find_client_port
        echo "Client port found: $port. Client address: $address. Client SSL: false."
        mode=$(word srvr | grep '^Mode: ')
        if [[ -z $mode ]]; then
            echo "Error contacting service. It is probably not running."
            exit 1
        fi
        echo "$mode"
        ;;
    print-cmd)
        locate
        printf '"%s" ' "${server[@]}"
        echo ">\"$out\" 2>&1 </dev/null"
        ;;
esac

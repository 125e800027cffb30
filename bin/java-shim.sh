#!/usr/bin/env bash
# Stands in for `java` where a test harness starts Apache ZooKeeper's server class itself, as
# kazoo's does: link it as `java` into a directory that comes first in PATH.
#
#   java [-D… | -cp PATH | other flags] org.apache.zookeeper.server.quorum.QuorumPeerMain ARGUMENTS…
#   java [flags] -jar zookeeper-fatjar.jar server ARGUMENTS…
#
# becomes zkserver with the same -D and ARGUMENTS. ZKSERVER names the binary; otherwise it is looked
# for beside this script, in target/release, and in PATH.

bin=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
if [[ -z $ZKSERVER ]]; then
    for ZKSERVER in "$bin/zkserver" "$bin/../target/release/zkserver" "$(type -p zkserver)"; do
        [[ -x $ZKSERVER ]] && break
    done
fi

defines=()
while (($#)); do
    word=$1
    shift
    case $word in
        -D*) defines+=("$word") ;;
        -cp | -classpath | --class-path | -jar) shift ;;
        -*) ;;
        org.apache.zookeeper.server.quorum.QuorumPeerMain | org.apache.zookeeper.server.ZooKeeperServerMain | server)
            exec "$ZKSERVER" "${defines[@]}" "$@"
            ;;
        *) break ;;
    esac
done
echo "$0 only starts Apache ZooKeeper's server class, in the form of zkserver; not $word" >&2
exit 1

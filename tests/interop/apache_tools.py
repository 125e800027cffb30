"""Apache ZooKeeper's offline tools on a data directory that the server under test wrote: its operators' instruments."""

import base64
import collections
import os
import re
import subprocess

import contents
from harness import KIND, Server, Skipped, equal, java_command, new_directory, running, test

# Several snapshots and logs, though not one for every hundred transactions.
SETTINGS = {"snapCount": 600}
TXN = re.compile(r"^.{8,40} session 0x[0-9a-f]+ cxid 0x[0-9a-f]+ zxid 0x([0-9a-f]+) (\w+)(.*)$", re.MULTILINE)
NODE = re.compile(
    r"^----\n(/.*)\n  cZxid = (\w+)\n  ctime = .*\n  mZxid = (\w+)\n  mtime = .*\n  pZxid = (\w+)\n"
    r"  cversion = (-?\d+)\n"
    r"  dataVersion = (-?\d+)\n  aclVersion = (-?\d+)\n  ephemeralOwner = (\w+)\n  (?:dataLength|data) = ?(.*)$",
    re.MULTILINE,
)

Written = collections.namedtuple("Written", "directory zxid nodes session timeout_ms")
_written = None


def tool(name, *arguments):
    """Runs one of the tools; answers what it printed, and fails unless its exit code is 0."""
    command = java_command(name, *map(str, arguments))
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, cwd="/")
    output = done.stdout.decode(errors="replace")
    errors = done.stderr.decode(errors="replace")
    assert done.returncode == 0, f"{command[-2:]} ended with {done.returncode}: {output[-500:]}{errors[-500:]}"
    return output


def written():
    """The directory the tools read: filled once, by a server killed in the middle and at the end."""
    global _written
    if _written is None:
        server = Server("tools", **SETTINGS).start()
        filled = contents.fill(server)
        filled.hang_up()
        server.kill_and_restart()
        filled.resume(server)
        contents.go_on(filled, server, 1)
        nodes = contents.dump(server)
        session, timeout_ms = filled.first.session_id, filled.first.timeout_ms
        _written = Written(server.data_dir / "version-2", server.zxid(), nodes, session, timeout_ms)
        server.kill()
    return _written


def files(prefix):
    """The files of one kind, oldest first, each with the zxid in its name."""
    found = [(int(path.name.split(".")[1], 16), path) for path in written().directory.glob(f"{prefix}.*")]
    assert found, f"no {prefix} files"
    return sorted(found)


@test
def every_log_is_whole():
    names = collections.Counter()
    zxids = []
    text = ""
    for first, path in files("log"):
        output = tool("org.apache.zookeeper.server.persistence.TxnLogToolkit", "-d", path)
        assert "CRC ERROR" not in output, f"{path.name}: {re.findall('CRC ERROR.*', output)}"
        transactions = TXN.findall(output)
        end = re.search(r"EOF reached after (\d+) txns\.", output)
        assert end, f"{path.name}: {output[-300:]}"
        equal(int(end[1]), len(transactions), f"transactions of {path.name}")
        if transactions:
            equal(int(transactions[0][0], 16), first, f"the first of {path.name}")
        zxids += [int(zxid, 16) for zxid, _, _ in transactions]
        names.update(name for _, name, _ in transactions)
        text += output
    # Every write, also a refused one and each session's beginning and end, took one zxid.
    equal(zxids, list(range(1, written().zxid + 1)), "zxids, without hole or repetition")
    expected = "create create2 createContainer createTTL setData setACL delete multi error createSession closeSession"
    equal(set(names), set(expected.split()), "kinds of transactions")
    assert names["error"] >= 11 and names["multi"] >= 2, names
    for line in (
        " createTTL /exchange/kinds/ttl,t,[31,s{'world,'anyone}\n],5,1099511627775\n",
        " createContainer /exchange/kinds/container,c,[31,s{'world,'anyone}\n],3\n",
        " setData /exchange/versions,0,1\n",
        " createSession 1000\n",
    ):
        assert line in text, f"not in the dump: {line!r}"


@test
def our_own_dump_and_chop_say_the_same():
    """`zkserver log` in the place of TxnLogToolkit, byte for byte, with a kind of every transaction, torn and rotten."""
    if KIND == "apache":
        raise Skipped("Apache ZooKeeper's tool is itself")
    scratch = new_directory("log-tool")
    logs = [path for _, path in files("log")]
    torn, rotten = scratch / "log.torn", scratch / "log.rotten"
    content = logs[0].read_bytes()
    end = len(content.rstrip(b"\0"))
    torn.write_bytes(content[: end - 1])
    rotten.write_bytes(content[:20] + b"\1" + content[21:])
    for path in [*logs, torn, rotten]:
        both(["-d", path], ["dump", path])
    both(["-r", "-y", "-v", rotten], ["dump", "-r", "-y", "-v", rotten], rotten.with_name("log.rotten.fixed"))
    for zxid in (1, 17, 10**9):
        copy = scratch / "log.copy"
        copy.write_bytes(content)
        made = scratch / f"log.copy.chopped{zxid}"
        both(["-c", "-z", zxid, copy], ["chop", copy, hex(zxid)], made if zxid < 1000 else None)


def both(theirs, ours, written=None):
    """Runs both tools, in one zone and one encoding; the same output, and, as far as ours goes, the same file."""
    utf8 = ["-Dfile.encoding=UTF-8", "-Dsun.stdout.encoding=UTF-8"]
    java = java_command(*utf8, "org.apache.zookeeper.server.persistence.TxnLogToolkit", *map(str, theirs))
    outputs, contents_written = [], []
    for command in (java, [os.environ["ZKSERVER_BINARY"], "log", *map(str, ours)]):
        environment = {**os.environ, "TZ": "Europe/Berlin"}
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60, env=environment)
        outputs.append(done.stdout)
        if written:
            contents_written.append(written.read_bytes())
            written.unlink()
    equal(outputs[1], outputs[0], f"output of zkserver log {ours}")
    if written:
        # Theirs is filled up with zeros.
        theirs, ours = contents_written
        assert theirs.startswith(ours) and not theirs[len(ours) :].strip(b"\0"), f"{written.name} differs"


@test
def every_snapshot_tells_the_tree():
    snapshots = files("snapshot")
    assert len(snapshots) >= 4, f"snapshots were taken: {snapshots}"
    for zxid, path in snapshots:
        output = tool("org.apache.zookeeper.server.SnapshotFormatter", path)
        nodes = {node[0]: node[1:] for node in NODE.findall(output)}
        # The tool counts the root twice, as "/" and as "".
        counted = int(re.match(r"ZNode Details \(count=(\d+)\):", output)[1])
        equal(len(nodes), counted - 1, f"{path.name}: nodes")
        for name, (_, stat, _) in written().nodes.items():
            if stat.czxid > zxid:
                continue  # younger than the snapshot
            assert name in nodes, f"{path.name} lacks {name}, created by 0x{stat.czxid:x}"
            czxid, mzxid, pzxid, cversion, version, _, owner, length = nodes[name]
            equal(int(czxid, 16), stat.czxid, f"{path.name}: czxid of {name}")
            if stat.mzxid <= zxid and not name.endswith("/zookeeper_stats"):
                found = int(mzxid, 16), int(version), int(length)
                # The node of the configuration shows another version to clients than it has.
                equal(found, (stat.mzxid, stat.version, stat.data_length), f"{path.name}: data of {name}")
            if stat.pzxid <= zxid:
                creations = (stat.cversion + stat.num_children) // 2
                equal((int(pzxid, 16), int(cversion)), (stat.pzxid, creations), f"{path.name}: children of {name}")
            if stat.ephemeral_owner:
                equal(int(owner, 16), stat.ephemeral_owner, f"{path.name}: owner of {name}")
        if "/exchange/kinds/ttl" in nodes and "/exchange/kinds/container" in nodes:
            equal(nodes["/exchange/kinds/ttl"][6], "0xff0000ffffffffff", "owner of a TTL node as stored")
            equal(nodes["/exchange/kinds/container"][6], "0x8000000000000000", "owner of a container as stored")
        if zxid >= written().nodes[contents.ROOT][1].czxid:
            assert f"0x{written().session:x}, {written().timeout_ms}, " in output, f"{path.name}: the session"


@test
def the_newest_snapshot_with_its_data():
    zxid, path = files("snapshot")[-1]
    output = tool("org.apache.zookeeper.server.SnapshotFormatter", "-d", path)
    nodes = {node[0]: node[-1] for node in NODE.findall(output)}
    compared = 0
    for name, (data, stat, _) in written().nodes.items():
        if max(stat.czxid, stat.mzxid) <= zxid and not name.endswith("/zookeeper_stats"):
            equal(base64.b64decode(nodes[name]) == (data or b""), True, f"data of {name}")
            compared += 1
    assert compared > 1000, f"only {compared} nodes compared"
    output = tool("org.apache.zookeeper.server.SnapshotFormatter", "-json", path)
    assert output.lstrip().startswith("[1,0,") and '"name":"größe"' in output, output[:200]


@test
def snapshots_are_compared():
    snapshots = [path for _, path in files("snapshot")]
    options = ["-l", snapshots[-2], "-r", snapshots[-1], "-b", 1, "-n", 1]
    output = tool("org.apache.zookeeper.server.SnapshotComparer", *options)
    assert "All layers compared." in output, output[-500:]


@test
def purged_and_started_again():
    directory = written().directory.parent
    tool("org.apache.zookeeper.server.PurgeTxnLog", directory, directory, "-n", 3)
    equal(len(files("snapshot")), 3, "snapshots kept")
    # Our list of our files is none of the tool's business.
    assert (written().directory / "zkserver.files").exists() or KIND == "apache"
    with running("purged", data_dir=directory, **SETTINGS) as server:
        contents.compare(written().nodes, contents.dump(server))

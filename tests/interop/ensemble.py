"""An ensemble whose members are servers of different kinds, each with a data directory, ports and a zoo.cfg of its own;
a member can become a server of another kind and keeps all three.

    zkserver      the server under test
    apache-3.9    Apache ZooKeeper 3.9.5
    apache-3.8    Apache ZooKeeper 3.8.6
    apache-3.8.0  Apache ZooKeeper 3.8.0
    debian        Debian's build of 3.8.0

Holds: every member listens on 127.0.0.1 only; a stopped member's ports are nobody else's; who waits for a role asks the
server's own words.
"""

import contextlib
import os
import random
import socket
import subprocess

import contents
import harness
import raw
from harness import KIND, SUPER, equal, java_command, new_directory, start_process, wait_until
from roads import Roads

OURS = "apache-3.9" if KIND == "apache" else "zkserver"
JARS = {
    "apache-3.9": "INTEROP_JARS",
    "apache-3.8": "INTEROP_JARS_3_8",
    "apache-3.8.0": "INTEROP_JARS_3_8_0",
    "debian": "INTEROP_JARS_DEBIAN",
}
SETTINGS = {
    **harness.DEFAULTS,
    "tickTime": 200,
    # Virtual machines that share two cores take their time.
    "initLimit": 50,
    "syncLimit": 15,
    "leaderConnectDelayDuringRetryMs": 500,
    "minSessionTimeout": 400,
    "maxSessionTimeout": 60000,
}
# A server that begins does not wait for others; one that never agrees must end the test.
ELECTION_LIMIT_SECONDS = 60


class Member:
    """One member: its place in the ensemble, and the server that has it at the moment."""

    def __init__(self, sid, kind, observer, home):
        self.sid, self.kind, self.observer = sid, kind, observer
        self.home = home
        self.data_dir = home / "data"
        self.data_dir.mkdir(parents=True)
        (self.data_dir / "myid").write_text(f"{sid}\n")
        self.port, self.quorum_port, self.election_port = quiet_port(), quiet_port(), quiet_port()
        self.config = home / "zoo.cfg"
        self.log = home / "server.log"
        self.process = None
        harness._servers.append(self)

    def command(self):
        if self.kind == "zkserver":
            return [os.environ["ZKSERVER_BINARY"], "--config", str(self.config)]
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        return java_command(main, str(self.config), classes=False, jars=os.environ[JARS[self.kind]])

    def start(self):
        """Starts the process; returns at once."""
        with self.log.open("ab") as log:
            log.write(f"--- {self.kind}\n".encode())
            log.flush()
            self.process = start_process(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    kill = harness.Server.kill
    stop = harness.Server.stop
    word = harness.Server.word

    def become(self, kind):
        """From its next start on it is a server of this kind, with the directory and the ports of the one before."""
        assert not self.running(), f"server {self.sid} still runs"
        assert kind in JARS or kind == "zkserver", kind
        self.kind = kind

    def running(self):
        return self.process is not None and self.process.poll() is None

    def role(self):
        """leader, follower or observer while it serves clients; else None."""
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"{self} ended with {self.process.returncode}:\n{self.tail()}")
        for line in self.word("srvr").splitlines():
            if line.startswith("Mode: "):
                return line.split()[1]
        return None

    zxid = harness.Server.zxid
    metric = harness.Server.metric
    tail = harness.Server.tail

    def __repr__(self):
        return f"server {self.sid} ({self.kind})"


class Ensemble:
    """Members with the ids 1, 2, … of the given kinds, those of `observers` behind the voters. Not started."""

    def __init__(self, name, kinds, observers=(), **settings):
        home = new_directory(f"ensemble-{name}")
        self.settings = {**SETTINGS, **settings}
        self.members = {}
        for sid, kind in enumerate([*kinds, *observers], start=1):
            self.members[sid] = Member(sid, kind, sid > len(kinds), home / str(sid))
        self.roads = Roads({sid: (m.quorum_port, m.election_port) for sid, m in self.members.items()}, quiet_port)
        for member in self.members.values():
            self._configure(member)

    def _configure(self, member):
        lines = {**self.settings, "dataDir": member.data_dir, "clientPort": member.port}
        if member.observer:
            lines["peerType"] = "observer"
        for sid, other in self.members.items():
            ports = other.quorum_port, other.election_port
            if other is not member:
                ports = [self.roads.port(member.sid, sid, kind) for kind in ("quorum", "election")]
            role = ":observer" if other.observer else ""
            lines[f"server.{sid}"] = f"127.0.0.1:{ports[0]}:{ports[1]}{role}"
        member.config.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))

    def __getitem__(self, sid):
        return self.members[sid]

    def __iter__(self):
        return iter(self.members.values())

    @property
    def voters(self):
        return [member for member in self if not member.observer]

    def others(self, member):
        return [other for other in self if other is not member]

    # --- life ---

    def start(self, leader=None):
        """Starts every member and returns when all serve. Of new members with no history the one with the id `leader`
        leads, or the last."""
        first = self[leader or len(self.voters)]
        # Equal votes go to the largest id: those that make a quorum with it are smaller.
        quorum = [member for member in self.voters if member.sid <= first.sid][-(len(self.voters) // 2 + 1) :]
        for member in quorum:
            member.start()
        wait_until(lambda: first.role() == "leader", f"{first} leads", ELECTION_LIMIT_SECONDS)
        for member in self:
            if member not in quorum:
                member.start()
        self.wait_serving()
        return self

    def wait_serving(self):
        """Returns when every member that runs serves, and one of them leads; answers that one."""

        def serving():
            roles = {member: member.role() for member in self if member.running()}
            leaders = [member for member, role in roles.items() if role == "leader"]
            return len(leaders) == 1 and all(roles.values()) and leaders[0]

        return wait_until(serving, "all members serve", ELECTION_LIMIT_SECONDS)

    def leader(self):
        return self.wait_serving()

    def stop(self):
        for member in self:
            if member.running():
                member.kill()
        self.roads.close()

    # --- clients ---

    def client(self, member, **options):
        """A client of the raw kind on one member, an administrator."""
        client = raw.Client(member.port, **options)
        client.auth("digest", SUPER)
        return client

    def hosts(self):
        return ",".join(f"127.0.0.1:{member.port}" for member in self)

    # --- judging ---

    def compare(self, quiet=True):
        """Every member has the same tree: node by node as clients see it, and by the digests that it keeps itself.
        Nobody else writes meanwhile. `quiet`: nobody wrote while a server of Apache's began, which replays onto its fuzzy
        snapshots what passes through states that never were, and counts mismatches there."""
        leader = self.wait_serving()
        running = [member for member in self if member.running()]

        for attempt in range(3):
            member = running[0]
            try:
                for member in running:
                    with contextlib.closing(self.client(member)) as client:
                        client.sync("/")
                dumps = []
                for member in running:
                    dumps.append(contents.dump(member))
                    # Each server has its own view of the addresses, and puts it there itself.
                    dumps[-1].pop("/zookeeper/config", None)
                    contents.compare(dumps[0], dumps[-1])
                break
            except AssertionError as error:
                # A session without a client may end while the trees are read; a difference stays.
                if attempt == 2:
                    raise AssertionError(f"{member} differs from {running[0]}, {leader} leads: {error}") from None
        self.compare_digests(leader, quiet)
        return dumps[0]

    def compare_digests(self, leader, quiet=True):
        running = [member for member in self if member.running()]
        before = {member: mismatches(member) for member in running}
        with contextlib.closing(self.client(leader)) as client:
            if client.exists("/digests") is None:
                client.create("/digests")
            for _ in range(5):
                # Each server notes its digest at every 128th transaction.
                for i in range(140):
                    client.send(raw.SET_DATA, raw.set_body("/digests", b"%d" % i))
                for _ in range(140):
                    equal(client.receive().error, 0, "set")
                last = client.last_zxid & ~127
                for member in running:
                    wait_until(lambda: member.zxid() >= client.last_zxid, f"{member} has applied {client.last_zxid:x}")
                tables = {member: digests(member) for member in running}
                # Who was given the tree behind that transaction has not noted it.
                if all(last in table for table in tables.values()):
                    break
            else:
                raise AssertionError("somebody notes no digests")
        for member, table in tables.items():
            equal(hex(table[last]), hex(tables[leader][last]), f"digest of {member} at {last:x}, {leader} leads")
            excused = before[member] if member.kind != "zkserver" and not quiet else 0
            equal(mismatches(member), excused, f"digest mismatches of {member}, {leader} leads")


def mismatches(member):
    """How often the server found that its tree's digest is not the one that came with a transaction."""
    return int(member.metric("zk_digest_mismatches_count"))


def digests(member):
    """zxid → digest of the tree there, from the word hash."""
    pairs = [line.split(": ") for line in member.word("hash").splitlines() if ": " in line]
    return {int(zxid, 16): int(digest) for zxid, digest in pairs}


@contextlib.contextmanager
def ensemble(name, kinds, observers=(), leader=None, **settings):
    """A running ensemble of the test's own."""
    members = Ensemble(name, kinds, observers, **settings)
    try:
        yield members.start(leader)
    finally:
        members.stop()


_ports = iter(random.Random(os.getpid()).sample(range(12000, 30000), 18000))


def quiet_port():
    """A free port below those that the system gives to outgoing connections: it stays free while its server is down."""
    for port in _ports:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")

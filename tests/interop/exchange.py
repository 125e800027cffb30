"""One data directory, two kinds of servers: what one wrote the other reads, goes on with, and hands back.

Every exchange is played in both directions. With ZKSERVER_KIND=apache both servers are Apache's: that shows that the
tests ask nothing of zkserver that Apache ZooKeeper does not do itself.
"""

import random
import shutil
import struct
import threading
import time

import contents
import raw
from harness import KIND, Server, equal, kazoo, new_directory, test, wait_until

# A snapshot after every 50 to 100 transactions instead of 100,000.
SNAPSHOTS = {"snapCount": 100}


def hand_over(old, kind, how, **settings):
    """Ends `old` by kill or stop and starts a server of the other kind on its directory and port."""
    zxid = old.zxid()
    getattr(old, how)()
    new = Server("exchange", kind=kind, data_dir=old.data_dir, port=old.port, **settings)
    new.start()
    equal(new.zxid(), zxid, "the last zxid")
    return new


def check_digests(server, writer_kind, settings):
    """Both kinds log a digest of the tree with each transaction, and check it when they read the log.

    Apache writes its snapshots while the tree changes. Replaying a log onto one may pass through a state that never was
    and whose digest fits nothing, though the end is right: there Apache counts mismatches after itself, too.
    """
    if writer_kind == "apache" and "snapCount" in settings:
        return
    equal(server.metric("zk_digest_mismatches_count"), "0", "digest mismatches")


def exchange(first_kind, second_kind, how, **settings):
    server = Server("exchange", kind=first_kind, **settings).start()
    filled = contents.fill(server)
    before = contents.dump(server)
    assert len(before) > 1000, f"only {len(before)} nodes"
    filled.hang_up()
    for round_number, kind in enumerate((second_kind, first_kind), start=1):
        writer_kind = server.kind
        server = hand_over(server, kind, how, **settings)
        after = contents.dump(server)
        contents.compare(before, after)
        filled.resume(server)
        if round_number == 1:
            owned = {path for path, node in after.items() if node[1].ephemeral_owner == filled.first.session_id}
            equal(set(filled.first.ephemerals()), owned, "ephemerals of the resumed session")
        contents.go_on(filled, server, round_number)
        check_digests(server, writer_kind, settings)
        before = contents.dump(server)
        filled.hang_up()
    snapshots = list((server.data_dir / "version-2").glob("snapshot.*"))
    if "snapCount" in settings:
        assert len(snapshots) > 5, f"snapshots were taken: {snapshots}"
    if "snapshot.compression.method" in settings:
        suffix = "." + settings["snapshot.compression.method"]
        plain = [path.name for path in snapshots if path.suffix != suffix]
        equal(plain, [], "snapshots that are not compressed")
    # The last owner closes what the first one opened.
    filled.resume(server)
    filled.first.close()
    left = [path for path, node in contents.dump(server).items() if node[1].ephemeral_owner]
    equal(left, [], "ephemerals without a session")
    server.kill()


def define(name, how, **settings):
    for direction, kinds in (("ours_to_apache", (KIND, "apache")), ("apache_to_ours", ("apache", KIND))):

        def run(kinds=kinds):
            exchange(*kinds, how, **settings)

        run.__name__ = f"{name}_{direction}"
        test(run)


define("logs_after_kill", "kill")
define("logs_after_stop", "stop")
define("snapshots_after_kill", "kill", **SNAPSHOTS)
define("snapshots_after_stop", "stop", **SNAPSHOTS)
define("gz_snapshots", "kill", **SNAPSHOTS, **{"snapshot.compression.method": "gz"})
define("snappy_snapshots", "kill", **SNAPSHOTS, **{"snapshot.compression.method": "snappy"})


def acknowledged_writes(first_kind, second_kind):
    """kill -9 into a stream of writes: what was acknowledged is there on the other server, and nothing half."""
    chance = random.Random(20240)
    server = Server("acknowledged", kind=first_kind, **SNAPSHOTS).start()
    client = raw.Client(server.port)
    client.create("/acked")
    created = 0
    for round_number in range(3):
        for i in range(3000):
            client.send(raw.CREATE, raw.create_body(f"/acked/{round_number}-{i}", b"x" * chance.randrange(300)))
        wanted = chance.randrange(100, 1500)
        acknowledged = set()
        while len(acknowledged) < wanted:
            reply = client.receive()
            equal(reply.error, 0, "create")
            acknowledged.add(reply.body.string())
        server.kill()
        kind = second_kind if server.kind == first_kind and round_number % 2 == 0 else first_kind
        server = Server("acknowledged", kind=kind, data_dir=server.data_dir, port=server.port, **SNAPSHOTS).start()
        client = raw.Client(server.port, session=client.session)
        present = {f"/acked/{name}" for name in client.children("/acked")}
        missing = acknowledged - present
        equal(missing, set(), "acknowledged but lost")
        # The log has no holes: the writes that survived are the first ones.
        survived = sum(path.startswith(f"/acked/{round_number}-") for path in present)
        expected = {f"/acked/{round_number}-{i}" for i in range(survived)}
        assert expected <= present, "the writes that survived are not the first ones"
        created += survived
        stat = client.exists("/acked")
        equal((stat.num_children, stat.cversion), (created, created), "children and cversion of the parent")
    client.close()
    server.kill()


@test
def acknowledged_writes_ours_to_apache():
    acknowledged_writes(KIND, "apache")


@test
def acknowledged_writes_apache_to_ours():
    acknowledged_writes("apache", KIND)


def expiry(first_kind, second_kind):
    """A session that nobody takes up on the new server gets its whole timeout there, then ends, and stays ended."""
    timeout_s = 1.5
    server = Server("expiry", kind=first_kind).start()
    client = raw.Client(server.port, timeout_ms=int(timeout_s * 1000))
    client.create("/orphan", b"", raw.EPHEMERAL)
    server.kill()
    started = time.monotonic()
    server = Server("expiry", kind=second_kind, data_dir=server.data_dir, port=server.port).start()
    observer = raw.Client(server.port)
    wait_until(lambda: observer.exists("/orphan") is None, "the session expires")
    lived_s = time.monotonic() - started
    assert lived_s >= timeout_s, f"expired {lived_s:.2f} s after the start"
    observer.hang_up()
    server = hand_over(server, first_kind, "kill")
    observer = raw.Client(server.port, session=observer.session)
    equal(observer.exists("/orphan"), None, "back on the first server")
    try:
        raw.Client(server.port, session=client.session)
        raise AssertionError("an expired session was resumed")
    except raw.SessionRefused:
        pass
    observer.close()
    server.kill()


@test
def expiry_ours_to_apache():
    expiry(KIND, "apache")


@test
def expiry_apache_to_ours():
    expiry("apache", KIND)


@test
def a_lock_is_handed_over():
    """The holder of a lock and those waiting never notice that the server became another one."""
    server = Server("lock", kind=KIND).start()
    with kazoo(server) as holder, kazoo(server) as waiter:
        lock = holder.Lock("/lock", "holder")
        lock.acquire()
        sessions = holder.client_id, waiter.client_id
        for kind in ("apache", KIND, "apache"):
            server = hand_over(server, kind, "kill")
            wait_until(lambda: holder.connected and waiter.connected, "both are back", 15)
            equal((holder.client_id, waiter.client_id), sessions, "sessions")
            equal(waiter.Lock("/lock", "waiter").acquire(blocking=False), False, "still held")
        lock.release()
        equal(waiter.Lock("/lock", "waiter").acquire(timeout=5), True, "and given")
    server.kill()


class Load(threading.Thread):
    """Creates, deletes, sets, multis, and sessions that come and go, as fast as the server takes them.

    All creates are the oldest kind: of the others Apache ZooKeeper forgets, when it replays one onto a snapshot that has
    it, what it does to the parent's counters.
    """

    PARENTS, NAMES = 20, 100

    def __init__(self, port, seed):
        super().__init__(daemon=True)
        self.port, self.chance = port, random.Random(seed)
        self.client = raw.Client(port, timeout_ms=120000)
        self.over = threading.Event()
        self.answered = 0
        self.start()

    def run(self):
        try:
            while not self.over.is_set():
                for _ in range(50):
                    self.client.send(*self._change())
                for _ in range(50):
                    self.client.receive()
                    self.answered += 1
                self._short_session()
        except (ConnectionError, OSError):
            pass  # the server was killed

    def stop(self):
        self.over.set()
        self.join(20)
        assert not self.is_alive(), "the load does not end"

    def _path(self):
        return f"/load/{self.chance.randrange(self.PARENTS)}/{self.chance.randrange(self.NAMES)}"

    def _change(self):
        kind = self.chance.randrange(10)
        path, data = self._path(), b"%d" % self.chance.randrange(1 << 30)
        if kind < 3:
            return raw.CREATE, raw.create_body(path, data, self.chance.choice([raw.PERSISTENT, raw.EPHEMERAL]))
        if kind < 4:
            return raw.CREATE, raw.create_body(path + "-", data, raw.SEQUENTIAL)
        if kind < 7:
            return raw.DELETE, raw.delete_body(path)
        if kind < 9:
            return raw.SET_DATA, raw.set_body(path, data)
        # Deleted and created again, at once: the parent must count both.
        parts = [(raw.DELETE, raw.delete_body(path)), (raw.CREATE, raw.create_body(path, data))]
        parts = [struct_part(op, body) for op, body in parts]
        return raw.MULTI, b"".join(parts) + struct_part(-1, b"", True)

    def _short_session(self):
        client = raw.Client(self.port, timeout_ms=120000)
        for _ in range(5):
            client.send(raw.CREATE, raw.create_body(self._path(), b"short", raw.EPHEMERAL))
        for _ in range(5):
            client.receive()
        client.close()


def struct_part(op, body, done=False):
    """One part of a multi, or its end."""
    return struct.pack(">i?i", op, done, -1) + body


def fuzziness(directory):
    """How many transactions later than its name the newest whole snapshot of Apache's tells its digest."""
    snapshots = sorted(directory.glob("snapshot.*"), key=lambda file: int(file.suffix[1:], 16))
    for file in reversed(snapshots):
        data = file.read_bytes()
        if data.endswith(b"\0\0\0\1/"):
            # The digest's section, its seal, the last zxid, its seal: 20, 13, 8 and 13 bytes.
            return struct.unpack(">q", data[-54:-46])[0] - int(file.suffix[1:], 16)
    raise AssertionError("no whole snapshot")


@test
def snapshots_under_load_apache_to_ours():
    """C-247: snapshots that Apache ZooKeeper wrote while the tree changed become the same tree on both servers, and the
    one that was alive."""
    # No session ends while its ephemerals are compared.
    settings = {"snapCount": 300, "maxSessionTimeout": 120000}
    server = Server("under-load", kind="apache", **settings).start()
    client = raw.Client(server.port)
    client.create("/load")
    for parent in range(Load.PARENTS):
        client.create(f"/load/{parent}")
    # Ballast, so that writing a snapshot takes a while.
    client.create("/ballast")
    for start in range(0, 5000, 1000):
        for i in range(start, start + 1000):
            client.send(raw.CREATE, raw.create_body(f"/ballast/{i}", b"x" * 100))
        for _ in range(1000):
            equal(client.receive().error, 0, "create")
    most_fuzzy = 0
    directory = server.data_dir / "version-2"
    for round_number in range(3):
        killed_under_load = round_number == 2
        before = set(directory.glob("snapshot.*"))
        loads = [Load(server.port, seed) for seed in range(4)]
        wait_until(lambda: len(set(directory.glob("snapshot.*")) - before) >= 4, "four snapshots under load", 30)
        if not killed_under_load:
            for load in loads:
                load.stop()
            live, zxid = contents.dump(server), server.zxid()
        server.kill()
        for load in loads:
            load.stop()
        assert sum(load.answered for load in loads) > 500, "too little load"
        most_fuzzy = max(most_fuzzy, fuzziness(directory))
        ours = copy_of(server, KIND)
        apache = copy_of(server, "apache")
        equal(ours.zxid(), apache.zxid(), "the last zxid")
        tree = contents.dump(ours)
        assert len(tree) > 5000, f"only {len(tree)} nodes"
        contents.compare(contents.dump(apache), tree)
        if not killed_under_load:
            assert ours.zxid() >= zxid
            contents.compare(live, tree)
        equal(ours.metric("zk_digest_mismatches_count"), "0", "digest mismatches")
        ours.kill()
        apache.kill()
        server.start()
    assert most_fuzzy > 0, "no snapshot was fuzzy"
    server.kill()


def copy_of(server, kind):
    """A running server on a copy of the directory of one that was killed."""
    copy = new_directory("copy") / "data"
    shutil.copytree(server.data_dir, copy)
    return Server("copy", kind=kind, data_dir=copy, **server.settings).start()

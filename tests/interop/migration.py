"""A migration as an operator does it: one server after the other stops and becomes one of the other kind, with its data
directory, while clients go on; and back the same way.

No acknowledged write may be lost, no write applied twice, no session may end, and at the end all trees are equal.
"""

import contextlib
import threading
import time

import contents
import matrix
from ensemble import OURS, ensemble
from harness import KIND, equal, test, wait_until
from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import ConnectionClosedError, ConnectionLoss


def client_of(members, timeout=10.0):
    patient = {"max_tries": -1, "delay": 0.02, "backoff": 1.5, "max_delay": 0.3}
    client = KazooClient(hosts=members.hosts(), timeout=timeout, connection_retry=patient)
    client.start(timeout=15)
    return client


class Writer(threading.Thread):
    """Creates numbered nodes and counts in one node, for as long as it is let; remembers what was acknowledged and what
    nobody knows of."""

    def __init__(self, members, name):
        super().__init__(daemon=True)
        self.root = f"/writer-{name}"
        self.client = client_of(members)
        self.client.create(self.root, b"0")
        self.acknowledged, self.unknown, self.failed = [], [], []
        self.counted, self.maybe_counted = 0, 0
        self.longest_stall_s = 0.0
        self.over = threading.Event()
        self.start()

    def run(self):
        number, last = 0, time.monotonic()
        while not self.over.is_set():
            number += 1
            path = f"{self.root}/{number:06}"
            try:
                self.client.create(path, b"%d" % number)
                self.acknowledged.append(path)
                self._count()
            except (ConnectionLoss, ConnectionClosedError):
                self.unknown.append(path)
                with contextlib.suppress(Exception):
                    wait_until(lambda: self.client.connected or self.over.is_set(), "the client is back", 20)
                continue
            except Exception as error:  # nothing else may happen to a writer
                self.failed.append((path, error))
                return
            now = time.monotonic()
            self.longest_stall_s = max(self.longest_stall_s, now - last)
            last = now

    def _count(self):
        data, stat = self.client.get(self.root)
        try:
            self.client.set(self.root, b"%d" % (int(data) + 1), version=stat.version)
            self.counted += 1
        except (ConnectionLoss, ConnectionClosedError):
            self.maybe_counted += 1
            raise

    def stop(self):
        self.over.set()
        self.join(25)
        assert not self.is_alive(), "the writer does not end"
        equal(self.failed, [], f"failures of {self.root}")

    def judge(self, nodes):
        """What it knows, against what a server has."""
        lost = [path for path in self.acknowledged if path not in nodes]
        equal(lost, [], f"acknowledged and lost, of {len(self.acknowledged)}")
        known = set(self.acknowledged) | set(self.unknown)
        strange = [path for path in nodes if path.startswith(self.root + "/") and path not in known]
        equal(strange, [], "nodes that nobody wrote")
        value = int(nodes[self.root][0])
        assert self.counted <= value <= self.counted + self.maybe_counted, (
            f"{self.root} counts {value}, acknowledged {self.counted}, unknown {self.maybe_counted}"
        )
        equal(nodes[self.root][1].version, value, "each step is one version")


class Holder:
    """A session with ephemerals that lives through everything, and a lock that others wait for."""

    def __init__(self, members):
        self.client = client_of(members, timeout=20.0)
        self.states = []
        self.client.add_listener(self.states.append)
        self.session = self.client.client_id
        self.client.create("/held", b"")
        self.client.create("/held/alive", b"", ephemeral=True)
        self.lock = self.client.Lock("/held/lock", "holder")
        self.lock.acquire()
        self.changes = 0
        self.client.DataWatch("/held", self._changed)

    def _changed(self, data, stat):
        self.changes += 1

    def judge(self, nodes):
        equal(self.client.client_id, self.session, "the session's id and password")
        assert KazooState.LOST not in self.states, "the session was lost"
        owned = [path for path, node in nodes.items() if node[1].ephemeral_owner == self.session[0]]
        equal(len(owned), 2, f"ephemerals of the session: {owned}")
        before = self.changes
        self.client.retry(self.client.set, "/held", b"seen")
        wait_until(lambda: self.changes > before, "its watch fires")

    def close(self):
        self.lock.release()
        self.client.stop()
        self.client.close()


def replace(members, member, kind, how):
    """One step of a migration: stop, another server on the same directory, wait until it serves."""
    getattr(member, how)()
    member.become(kind)
    member.start()
    members.wait_serving()


def migrate(old, new, back, count=3, how="stop", observers=0, **settings):
    """All servers of the kind `old` become ones of the kind `new` and then of the kind `back`, followers first."""
    with ensemble("migration", [old] * count, [old] * observers, **settings) as members:
        filled = contents.fill(members.leader(), ipv6=False)
        filled.end()
        holder = Holder(members)
        writers = [Writer(members, name) for name in ("a", "b")]
        for kind in (new, back):
            leader = members.leader()
            for member in [m for m in members if m is not leader] + [leader]:
                seen = [len(writer.acknowledged) for writer in writers]
                replace(members, member, kind, how)
                for writer, before in zip(writers, seen):
                    wait_until(lambda: len(writer.acknowledged) > before + 10, f"{writer.root} goes on", 20)
            assert all(m.kind == kind for m in members)
        for writer in writers:
            writer.stop()
        nodes = members.compare(quiet=False)
        for writer in writers:
            writer.judge(nodes)
        holder.judge(nodes)
        holder.close()
        for writer in writers:
            writer.client.stop()
            writer.client.close()
        left = [path for path, node in members.compare(quiet=False).items() if node[1].ephemeral_owner]
        equal(left, [], "ephemerals of sessions that ended")
        written = sum(len(writer.acknowledged) for writer in writers)
        stall = max(writer.longest_stall_s for writer in writers)
        print(f"        {written} writes acknowledged, longest stall {stall:.1f} s", flush=True)
    size = f"{count} servers" + (f" and {observers} observer" if observers else "")
    way = {"stop": "SIGTERM", "kill": "kill -9"}[how]
    matrix.ran(
        f"rolling migration of {size}, {way}",
        " → ".join(matrix.NAMES[kind] for kind in (old, new, back)),
        f"{written} writes acknowledged, none lost; sessions kept; trees equal; longest stall {stall:.1f} s",
    )


@test
def rolling_migration_from_3_9_and_back():
    migrate("apache-3.9", "apache-3.8" if KIND == "apache" else OURS, "apache-3.9")


@test
def rolling_migration_from_3_8_to_3_9():
    migrate("apache-3.8", OURS, "apache-3.9", how="kill", snapCount=1000)


if matrix.WANTED:

    @test
    def rolling_migration_of_five_and_an_observer():
        migrate("apache-3.9", OURS, "apache-3.9", count=5, observers=1)

    @test
    def rolling_migration_of_3_8_and_back():
        migrate("apache-3.8", OURS, "apache-3.8", snapCount=500)

    @test
    def rolling_migration_of_ours_and_back():
        migrate(OURS, "apache-3.9", OURS, how="kill", snapCount=500)


def directories_swapped(first, second):
    """Everything stops at once, and each directory is given to a server of the other kind: snapshots and logs of each
    kind, those of a leader and those of followers, read by the other; twice, so that each reads its own mixed with the
    other's."""
    kinds = [first, second, first]
    swap = {first: second, second: first}
    with ensemble("swapped", kinds, snapCount=300) as members:
        filled = contents.fill(members.leader(), ipv6=False)
        for _ in range(2):
            filled.first.ping()
            filled.hang_up()
            before = contents_without_views(members)
            for member in members:
                member.kill()
                member.become(swap[member.kind])
            for member in members:
                member.start()
            members.wait_serving()
            after = contents_without_views(members)
            contents.compare(before, after)
            filled.resume(members[2])
            equal(sorted(filled.first.ephemerals()), owned(after, filled.first), "ephemerals of the resumed session")
        contents.go_on(filled, members[2], 1)
        filled.first.close()
        members.compare()
    matrix.ran("all data directories change their servers' kind, twice", matrix.names(kinds), "trees equal")


def contents_without_views(members):
    nodes = members.compare()
    # The comparison of digests writes there.
    nodes.pop("/digests", None)
    nodes.pop("/", None)
    return nodes


def owned(nodes, client):
    return sorted(path for path, node in nodes.items() if node[1].ephemeral_owner == client.session_id)


@test
def directories_swapped_with_3_9():
    directories_swapped("apache-3.9", "apache-3.8" if KIND == "apache" else OURS)


if matrix.WANTED:

    @test
    def directories_swapped_with_3_8():
        directories_swapped("apache-3.8", OURS)

    @test
    def directories_swapped_ours_first():
        directories_swapped(OURS, "apache-3.9" if KIND != "apache" else "apache-3.8")

"""Ensembles in which zkserver and Apache ZooKeeper vote, lead and follow each other: each way of synchronising a learner
in each direction, sessions that move between the kinds, a create2 inside a multi for a server that cannot log one.

A server's kind is only a parameter; with Apache ZooKeeper as the server under test the same is played by its versions
3.8 and 3.9 alone.
"""

import contextlib
import os

import contents
import exchange
import matrix
import raw
from ensemble import JARS, OURS, ensemble
from harness import KIND, Skipped, equal, test, wait_until

# More than the 500 transactions that a leader keeps in memory, and fewer.
MANY, FEW = 700, 30


def write(members, member, count, name):
    """`count` pipelined writes through one member; all acknowledged when this returns."""
    with contextlib.closing(members.client(member)) as client:
        if client.exists(f"/{name}") is None:
            client.create(f"/{name}")
        for i in range(count):
            client.send(raw.CREATE2, raw.create_body(f"/{name}/{i:04}-", b"%d" % i, raw.SEQUENTIAL))
        for _ in range(count):
            equal(client.receive().error, 0, "create")


def absence(members, learner, count, expected):
    """The learner is away for `count` writes, and is brought up by `expected`."""
    leader = members.leader()
    assert leader is not learner
    learner.kill()
    write(members, leader, count, f"away-{expected.lower()}")
    seen = len(members.roads.syncs_of(leader.sid, learner.sid))
    learner.start()
    equal(members.wait_serving(), leader, "the leader")
    ways = members.roads.syncs_of(leader.sid, learner.sid)[seen:]
    equal(ways[-1:], [expected], f"how {leader} synchronises {learner}")
    members.compare()
    way = "DIFF from the log" if expected == "DIFF" and count > 500 else expected
    matrix.synchronised(leader, learner, way)


def logged(member, text):
    return any(text in path.read_bytes() for path in (member.data_dir / "version-2").glob("log.*"))


def cut_back(members, more):
    """The leader, alone, logs what nobody else has; the others elect another, write more or nothing, and cut it back."""
    leader = members.leader()
    others = members.others(leader)
    client = members.client(leader)
    if client.exists("/cut") is None:
        client.create("/cut")
    client.sync("/")
    members.roads.part([leader.sid], [other.sid for other in others])
    name = f"nobody-has-this-{leader.sid}-{more}"
    for i in range(FEW):
        client.send(raw.CREATE2, raw.create_body(f"/cut/{name}-{i}", b"x"))
    wait_until(lambda: logged(leader, f"{name}-{FEW - 1}".encode()), f"{leader} logs alone")

    def elected():
        return next((other for other in others if other.role() == "leader"), None)

    successor = wait_until(elected, f"another than {leader} leads", 40)
    wait_until(lambda: leader.role() is None, f"{leader} gives up", 20)
    if more:
        write(members, successor, more, "in-the-new-epoch")
    client.hang_up()
    members.roads.mend()
    equal(members.wait_serving(), successor, "the leader")
    ways = members.roads.syncs_of(successor.sid, leader.sid)
    # Apache ZooKeeper cuts nobody back over the border of an epoch in which it has written: it sends the tree.
    expected = ["TRUNC"] if not more else ["TRUNC", "SNAP"]
    assert ways[-1] in expected, f"{successor} synchronises {leader} by {ways[-1]}, expected {expected}"
    nodes = members.compare()
    left = [path for path in nodes if name in path]
    equal(left, [], f"uncommitted nodes of {leader}")
    matrix.synchronised(successor, leader, ways[-1])
    return successor


def every_way(kinds, observers=(), many="SNAP"):
    """Three members: the third, of the one kind, and the second, of the other, lead one another and cut one another back;
    with an observer that is away for as long. Who missed much gets the tree, or all of it from the leader's log."""
    settings = {"snapshotSizeFactor": -1 if many == "SNAP" else 0}
    with ensemble("every-way", kinds, observers, **settings) as members:
        filled = contents.fill(members[3], ipv6=False)
        members.compare()
        # What follows takes longer than these sessions live.
        filled.end()
        for learner in [members[1], *(m for m in members if m.observer)]:
            absence(members, learner, FEW, "DIFF")
            absence(members, learner, MANY, many)
        equal(cut_back(members, more=0), members[2], "who has the larger id leads")
        absence(members, members[3], FEW, "DIFF")
        absence(members, members[3], MANY, many)
        equal(cut_back(members, more=0), members[3], "who has the larger id leads")
        cut_back(members, more=FEW)


def define(name, *arguments, **named):
    def run():
        every_way(*arguments, **named)

    run.__name__ = f"every_way_{name}"
    test(run)


define("with_3_9", [OURS, OURS, "apache-3.9"], [OURS] if matrix.WANTED else [])
define("with_3_8", [OURS, OURS, "apache-3.8"], [OURS] if matrix.WANTED else [])
if matrix.WANTED:
    define("of_ours", [OURS, OURS, OURS], [OURS])
    for other in ("apache-3.9", "apache-3.8"):
        version = other.removeprefix("apache-").replace(".", "_")
        define(f"ours_first_with_{version}", [other, other, OURS], [other])
        define(f"from_the_log_with_{version}", [OURS, OURS, other], [OURS], many="DIFF")
        define(f"from_our_log_with_{version}", [other, other, OURS], [other], many="DIFF")


def five_and_an_observer(kinds, observers):
    """A follower and the observer are brought up in each way, the leader is cut back; then twice the leader and a follower of
    another kind are killed at once: the other three and the observer go on, and who returns disturbs nobody. All trees are
    equal behind each."""
    with ensemble("five", kinds, observers, snapshotSizeFactor=-1) as members:
        observer = members[6]
        write(members, observer, FEW, "through-the-observer")
        leader = members.leader()
        follower = next(m for m in members.voters if m is not leader and m.kind != leader.kind)
        for learner in (follower, observer):
            absence(members, learner, FEW, "DIFF")
            absence(members, learner, MANY, "SNAP")
        cut_back(members, more=0)
        led = {leader.kind}
        for round_number in range(2):
            leader = members.leader()
            led.add(leader.kind)
            follower = next(m for m in members.voters if m is not leader and m.kind != leader.kind)
            follower.kill()
            leader.kill()
            successor = members.wait_serving()
            for through in (successor, observer):
                write(members, through, FEW, f"without-two-{round_number}")
            leader.start()
            follower.start()
            equal(members.wait_serving(), successor, "who returns disturbs nobody: the leader")
            led.add(successor.kind)
            members.compare()
    matrix.ran(
        "five voters and an observer; DIFF, SNAP, TRUNC; twice the leader and a follower killed at once",
        f"{matrix.names(kinds)}; {matrix.names(observers)} observes",
        f"led by {matrix.names(sorted(led))}; trees equal",
    )


@test
def five_members_and_an_observer_of_apache():
    five_and_an_observer(["apache-3.8", OURS, OURS, "apache-3.9", OURS], ["apache-3.9"])


@test
def five_members_and_an_observer_of_ours():
    five_and_an_observer(["apache-3.9", OURS, "apache-3.8", OURS, "apache-3.9"], [OURS])


def sessions_move(kinds):
    """A session goes from one server to the next with its password, its ephemerals and its watches; the server that had
    it before may no longer write for it; its end is its end everywhere."""
    with ensemble("sessions", kinds) as members:
        admin = members.client(members.leader())
        admin.create("/watched")
        client = raw.Client(members[1].port, timeout_ms=20000)
        client.create("/mine", b"", raw.EPHEMERAL)
        client.get("/watched", watch=True)
        for turn, member in enumerate([members[2], members[3], members[1], members[3], members[2], members[1]]):
            before = client
            # While nobody hears the client, what it watches changes.
            seen = client.last_zxid
            version = admin.set("/watched", b"%d" % turn).version
            client = raw.Client(member.port, timeout_ms=20000, session=client.session, last_zxid=seen)
            equal(client.session, before.session, f"id and password on {member}")
            client.set_watches(seen, data=["/watched"])
            equal([(e.type, e.path) for e in client.events], [(raw.DATA_CHANGED, "/watched")], f"events on {member}")
            client.events.clear()
            equal(client.get("/watched", watch=True)[1].version, version, "the version")
            equal(client.ephemerals(), sorted(["/mine", *(f"/mine-{i}" for i in range(turn))]), "ephemerals")
            client.create(f"/mine-{turn}", b"", raw.EPHEMERAL)
            with contextlib.suppress(ConnectionError, OSError, raw.Refused):
                before.create(f"/not-mine-{turn}", b"", raw.EPHEMERAL)
            before.hang_up()
        try:
            raw.Client(members[3].port, session=(client.session_id, b"x" * 16))
            raise AssertionError("a session was given to a wrong password")
        except raw.SessionRefused:
            pass
        for member in members:
            with contextlib.closing(members.client(member)) as reader:
                reader.sync("/")
                equal([n for n in reader.children("/") if n.startswith("not")], [], f"written by its old server, {member}")
                equal(reader.exists("/mine").ephemeral_owner, client.session_id, "the owner")
        client.close()
        for member in members:
            with contextlib.closing(members.client(member)) as reader:
                reader.sync("/")
                equal([n for n in reader.children("/") if "mine" in n], [], f"ephemerals left on {member}")
            try:
                raw.Client(member.port, session=client.session)
                raise AssertionError(f"a closed session lives on {member}")
            except raw.SessionRefused:
                pass
        members.compare()
    matrix.ran(
        "a session with ephemerals and watches goes six times from server to server",
        f"{matrix.names(kinds)}, which leads",
        "kept; its end is everywhere",
    )


@test
def sessions_move_apache_leads():
    sessions_move([OURS, "apache-3.8", "apache-3.9"])


@test
def sessions_move_ours_leads():
    sessions_move(["apache-3.9", "apache-3.8", OURS])


def create2_in_a_multi(kinds, compatibility):
    """A leader of ours tells Apache ZooKeeper 3.8.0, which cannot log a create2 inside a multi, of a plain create."""
    with ensemble("level", kinds, compatibilityLevel=compatibility) as members:
        leader = members.leader()
        equal(leader.kind, OURS, "the leader")
        for through in members:
            with contextlib.closing(members.client(through)) as client:
                base = f"/multi-{through.sid}"
                operations = [
                    (raw.CREATE2, raw.create_body(base, b"m")),
                    (raw.CREATE2, raw.create_body(f"{base}/sequential-", b"s", raw.SEQUENTIAL)),
                    (raw.SET_DATA, raw.set_body(base, b"set", 0)),
                ]
                equal(client.multi(operations), True, f"a multi through {through}")
        nodes = members.compare()
        assert {f"/multi-{m.sid}/sequential-0000000000" for m in members} <= set(nodes)
        for member in members:
            member.kill()
        for member in members:
            member.start()
        missing = set(nodes) - set(members.compare())
        equal(missing, set(), "missing after a restart")
    matrix.ran("create2 inside a multi, `compatibilityLevel=3.8.0`", matrix.names(kinds), "trees equal, after a restart too")


def with_old(kind):
    if KIND == "apache":
        raise Skipped("Apache ZooKeeper has no compatibility level")
    if not os.path.exists(os.path.join(os.environ[JARS[kind]], ".complete")):
        raise Skipped("Debian's package could not be fetched")
    create2_in_a_multi([kind, kind, OURS], "3.8.0")


@test
def create2_in_a_multi_for_3_8_0():
    with_old("apache-3.8.0")


@test
def create2_in_a_multi_for_debian():
    with_old("debian")


def syncs_between_writes(kinds):
    """Pipelined writes with syncs in between, over every member: each is answered, in order. A learner of Apache's takes
    the answers to its syncs at their place among the commits, and nowhere else."""
    with ensemble("syncs", kinds) as members:
        with contextlib.closing(members.client(members.leader())) as client:
            client.create("/syncs")
        clients = [raw.Client(member.port) for member in members for _ in range(3)]
        for turn in range(20):
            for client in clients:
                for _ in range(5):
                    client.send(raw.SET_DATA, raw.set_body("/syncs", b"%d" % turn))
                    client.send(raw.SYNC, raw.string("/syncs"))
                    client.send(raw.GET_DATA, raw.string("/syncs") + b"\0")
            for client in clients:
                sent = client.xid
                expected = list(range(sent - 14, sent + 1))
                equal([client.receive().xid for _ in expected], expected, f"answers in turn {turn}")
        for client in clients:
            client.close()
        members.compare()


@test
def syncs_between_writes_ours_leads():
    syncs_between_writes(["apache-3.8", "apache-3.9", OURS])


@test
def syncs_between_writes_apache_leads():
    syncs_between_writes([OURS, "apache-3.8", "apache-3.9"])


def under_load(kinds):
    """Clients of every member change the tree as fast as they can: every transaction makes the same of every tree, digest
    by digest, and no server counts a mismatch."""
    with ensemble("load", kinds) as members:
        leader = members.leader()
        with contextlib.closing(members.client(leader)) as client:
            client.create("/load")
            for parent in range(exchange.Load.PARENTS):
                client.create(f"/load/{parent}")
        loads = [exchange.Load(member.port, seed) for seed, member in enumerate(members)]
        wait_until(lambda: all(load.answered > 2000 for load in loads), "every member answers much", 60)
        for load in loads:
            load.stop()
            load.client.close()
        members.compare()
        count = sum(load.answered for load in loads)
    matrix.ran("load on every member, digest by digest", f"{matrix.names(kinds)}, which leads", f"{count} requests; equal")


@test
def under_load_apache_leads():
    under_load([OURS, "apache-3.8", OURS, "apache-3.9"])


@test
def under_load_ours_leads():
    under_load(["apache-3.9", "apache-3.8", OURS])

"""Ensembles in which zkserver and Apache ZooKeeper vote, lead and follow each other: each way of synchronising a learner
in each direction, sessions that move between the kinds, a create2 inside a multi for a server that cannot log one.

A server's kind is only a parameter; with Apache ZooKeeper as the server under test the same is played by its versions
3.8 and 3.9 alone.
"""

import contextlib
import os

import contents
import raw
from ensemble import OURS, ensemble
from harness import KIND, Skipped, equal, test, wait_until

# Whoever missed more than the 500 transactions that a leader keeps in memory gets the tree, not the log.
ALWAYS_A_TREE = {"snapshotSizeFactor": -1}
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
    return successor


def every_way(kinds, observers=()):
    """Three members: the third, of the one kind, and the second, of the other, lead one another and cut one another back;
    with an observer that is away for as long."""
    with ensemble("every-way", kinds, observers, **ALWAYS_A_TREE) as members:
        filled = contents.fill(members[3], ipv6=False)
        members.compare()
        # What follows takes longer than these sessions live.
        filled.first.close()
        filled.second.close()
        for learner in [members[1], *(m for m in members if m.observer)]:
            absence(members, learner, FEW, "DIFF")
            absence(members, learner, MANY, "SNAP")
        equal(cut_back(members, more=0), members[2], "who has the larger id leads")
        absence(members, members[3], FEW, "DIFF")
        absence(members, members[3], MANY, "SNAP")
        equal(cut_back(members, more=0), members[3], "who has the larger id leads")
        cut_back(members, more=FEW)


@test
def every_way_with_3_9():
    every_way([OURS, OURS, "apache-3.9"])


@test
def every_way_with_3_8():
    every_way([OURS, OURS, "apache-3.8"])

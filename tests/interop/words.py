"""What each member of an ensemble says in four-letter words: zkserver's members beside Apache ZooKeeper's, in every role
and in none, after the same requests.

What zkserver's mntr has and Apache's has not, and the reverse, is in docs/metrics.md; anything else is a difference.
"""

import pathlib
import re

import raw
from ensemble import ELECTION_LIMIT_SECONDS, OURS, ensemble
from harness import KIND, equal, test, wait_until

WORDS = "conf cons dirs dump envi gtmk hash isro mntr ruok srvr stat wchc wchp wchs".split()
# One of so many transactions has its acknowledgements measured.
MEASURED_OF = 1000
DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "metrics.md"
# A key of Apache's that it prints no more; see docs/metrics.md.
OLDER = {"fsync_threshold_exceed_count"}


def documented():
    """The names that are absent in zkserver, and those that only zkserver has."""
    absent, own, section = set(), set(), ""
    for line in DOCUMENT.read_text().splitlines():
        if line.startswith("## "):
            section = line
        row = re.match(r"\| `(\w+)` \|", line)
        if row and section == "## Absent":
            absent.add(row[1])
        elif row and "zkserver's own." in line:
            own.add(row[1])
    return absent, own


def work(members):
    """Requests through every member, and as many transactions as it takes until one is measured."""
    clients = {member: members.client(member) for member in members}
    for member, client in clients.items():
        client.create(f"/app{member.sid}", b"1")
        client.create(f"/app{member.sid}/e", b"1", raw.EPHEMERAL)
        client.get(f"/app{member.sid}", watch=True)
        client.set(f"/app{member.sid}", b"22")
        client.sync("/")
    leader = members.leader()
    for _ in range(MEASURED_OF + 10):
        clients[leader].send(raw.SET_DATA, raw.set_body("/app1", b"333"))
    for _ in range(MEASURED_OF + 10):
        equal(clients[leader].receive().error, 0, "set")
    for client in clients.values():
        client.sync("/")
    return clients


def answers(members):
    """What every member says, by its role."""
    told = {}
    for member in members:
        told.setdefault(member.role(), {word: member.word(word) for word in WORDS})
    return told


def metrics(mntr):
    """The names of the metrics in an answer; a summary is one, and so is a set of them."""
    names = set()
    for line in mntr.splitlines():
        name = line.split("\t")[0].removeprefix("zk_")
        name = re.sub(r"^(avg|min|max|cnt|sum|p50|p95|p99|p999)_(?!latency$|response_size$|proposal_size$)", "", name)
        names.add(re.sub(r"^(app\d|zookeeper|digests|\d+)_", "", name))
    return names


def keys_agree(role, ours, theirs):
    absent, own = documented()
    ours, theirs = metrics(ours), metrics(theirs)
    missing, more = theirs - ours, ours - theirs
    equal(sorted(missing - absent), [], f"Apache's metrics of the {role} that are neither printed nor excused")
    equal(sorted(more - own - OLDER), [], f"metrics of the {role} that Apache has not")


def shape(text):
    """An answer without what differs between two runs: numbers, addresses, dates, and moments at which nothing ends."""
    text = re.sub(r"\w{3} \w{3} \d\d \d\d:\d\d:\d\d \w+ \d{4}", "DATE", text)
    text = re.sub(r"^0 expire at DATE:\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"\d+ expire at DATE:", "N expire at DATE:", text)
    text = re.sub(r"Zookeeper version: .*", "Zookeeper version: V", text)
    text = re.sub(r"(dataDir|dataLogDir)=.*", r"\1=DIR", text)
    text = re.sub(r"0x[0-9a-f]+", "X", text)
    text = re.sub(r"-?\d+(\.\d+)?", "N", text)
    lines = [line for line in text.splitlines() if line]
    return sorted(set(lines)) if "dump" in text else lines


def texts_agree(role, ours, theirs):
    for word in ["conf", "dump", "isro", "srvr", "gtmk", "ruok", "dirs"]:
        equal(shape(ours[word]), shape(theirs[word]), f"{word} of the {role}")
        equal(ours[word].endswith("\n"), theirs[word].endswith("\n"), f"the end of {word} of the {role}")
    for word in ["stat", "cons", "wchc", "wchp", "wchs", "hash", "mntr"]:
        assert ours[word] and theirs[word], f"{word} of the {role} is empty"
    for name in ["zk_server_state", "zk_peer_state", "zk_quorum_size", "zk_learners", "zk_synced_followers",
                 "zk_synced_observers", "zk_synced_non_voting_followers", "zk_pending_syncs", "zk_observer_master_id",
                 "zk_ephemerals_count", "zk_global_sessions", "zk_znode_count", "zk_commit_count", "zk_proposal_count",
                 "zk_learner_proposal_received_count", "zk_learner_commit_received_count"]:
        line = re.compile(rf"^{name}\t.*$", re.MULTILINE)
        equal(line.findall(ours["mntr"]), line.findall(theirs["mntr"]), f"{name} of the {role}")


def of_an_ensemble(kind):
    """The answers of three voters and an observer of that kind: in their roles, then of those that have lost the quorum."""
    with ensemble(f"words-{kind}", [kind] * 3, [kind]) as members:
        clients = work(members)
        told = answers(members)
        for client in clients.values():
            client.hang_up()
        for member in members.others(members.leader())[:2]:
            member.kill()
        left = [member for member in members if member.running()]
        for member in left:
            wait_until(lambda: member.role() is None, f"{member} has no role", ELECTION_LIMIT_SECONDS)
        told[None] = {word: left[-1].word(word) for word in [*WORDS, "srst", "crst"]}
        return told


@test
def every_role_says_what_apaches_says():
    theirs, ours = of_an_ensemble("apache-3.9"), of_an_ensemble(OURS)
    equal(set(ours), set(theirs), "roles")
    for role in ["leader", "follower", "observer"]:
        texts_agree(role, ours[role], theirs[role])
        if KIND == "zkserver":
            keys_agree(role, ours[role]["mntr"], theirs[role]["mntr"])
    for word, answer in theirs[None].items():
        if word != "envi":
            equal(ours[None][word], answer, f"{word} of a server that looks for a leader")


@test
def a_learner_of_another_kind_is_told_like_any_other():
    """A zkserver that leads Apache's servers tells of them what Apache tells of its own, and how each fares."""
    with ensemble("words-mixed", ["apache-3.9", "apache-3.9", OURS], ["apache-3.9"]) as members:
        leader = members.leader()
        told = dict(line.split("\t") for line in leader.word("mntr").splitlines())
        found = [told[f"zk_{name}"] for name in ("learners", "synced_followers", "synced_observers")]
        equal(found, ["3", "2", "1"], f"learners, synced followers and observers of {leader}")
        if leader.kind == "zkserver":
            states = [told[f"zk_{member.sid}_learner_state"] for member in members.others(leader)]
            equal(states, ["following - broadcast"] * 2 + ["observing - broadcast"], "states of the learners")

"""A data directory worth exchanging: fills a server with a node of every kind by every kind of transaction, reads
everything back as an administrator, compares two such readings.

Holds: after `fill`, the zxid of the server counts exactly the transactions in its log, for every write, also a refused
one, takes one zxid; an epoch never begins anew on a standalone server.
"""

import base64
import contextlib
import hashlib

import raw
from harness import SUPER, equal, wait_until

ROOT = "/exchange"
ALICE = "alice:secret"
ALICE_ID = "alice:" + base64.b64encode(hashlib.sha1(ALICE.encode()).digest()).decode()
SESSION_MS = 20000  # nothing pings: a slow machine must not end them; granted is what the server allows
MANY = 1500  # a tenth is deleted again


class Contents:
    """What `fill` left behind: the sessions that are to survive the exchange."""

    def __init__(self, first, second):
        self.first, self.second = first, second

    def hang_up(self):
        """Leaves the sessions to themselves, each just heard of."""
        for client in (self.first, self.second):
            if client:
                client.ping()
                client.hang_up()

    def end(self):
        """Ends the sessions, unless the machine was so slow that they have ended already."""
        for client in (self.first, self.second):
            with contextlib.suppress(OSError, raw.Refused):
                client.close()

    def resume(self, server):
        """Takes the sessions up again on the server that has the directory now."""
        self.first = resume(server, self.first)
        if self.second:
            self.second = resume(server, self.second)


def resume(server, client):
    again = raw.Client(server.port, timeout_ms=SESSION_MS, session=client.session)
    equal(again.session, client.session, "id and password of the resumed session")
    equal(again.timeout_ms, client.timeout_ms, "its timeout")
    return again


def fill(server, ipv6=True):
    """Apache ZooKeeper 3.8 knows no IPv6 in ACLs."""
    first, second = raw.Client(server.port, SESSION_MS), raw.Client(server.port, SESSION_MS)
    expiring = raw.Client(server.port, 1000)
    first.create(ROOT, b"root of the exchange")
    expiring.create(f"{ROOT}/expiring", b"", raw.EPHEMERAL)

    _every_kind(first)
    _every_acl(first, ipv6)
    _versions(first, second)
    _multi(first)
    _failures(first, second)
    _quota(first)
    second.ping()
    _many(first)
    second.ping()
    closing = raw.Client(server.port, SESSION_MS)
    for client, name in ((first, "first"), (second, "second"), (closing, "closing")):
        client.create(f"{ROOT}/{name}", name.encode(), raw.EPHEMERAL)
        client.create(f"{ROOT}/queue-", name.encode(), raw.EPHEMERAL_SEQUENTIAL)
        client.create(f"{ROOT}/kinds/container/{name}", None, raw.EPHEMERAL, op=raw.CREATE)
    closing.close()
    expiring.hang_up()
    wait_until(lambda: first.exists(f"{ROOT}/expiring") is None, "the silent session expires")
    return Contents(first, second)


def _every_kind(zk):
    kinds = f"{ROOT}/kinds"
    zk.create(kinds, None)
    for op, name in ((raw.CREATE, "create"), (raw.CREATE2, "create2")):
        zk.create(f"{kinds}/{name}", b"x", op=op)
        zk.create(f"{kinds}/{name}/null", None, op=op)
        zk.create(f"{kinds}/{name}/empty", b"", op=op)
        zk.create(f"{kinds}/{name}/bytes", bytes(range(256)), op=op)
        for flags in (raw.EPHEMERAL, raw.SEQUENTIAL, raw.EPHEMERAL_SEQUENTIAL):
            zk.create(f"{kinds}/{name}/flags-{flags}-", b"f", flags, op=op)
    zk.create(f"{kinds}/container", b"c", raw.CONTAINER)
    zk.create(f"{kinds}/container-empty", None, raw.CONTAINER)
    zk.create(f"{kinds}/ttl", b"t", raw.TTL, ttl_ms=0xFFFFFFFFFF)
    zk.create(f"{kinds}/ttl-", None, raw.TTL_SEQUENTIAL, ttl_ms=86_400_000)
    zk.create(f"{kinds}/ttl/child", b"below")
    for name in ("größe", "日本語", "with blank", "…"):
        zk.create(f"{kinds}/{name}", name.encode())
    zk.create(f"{kinds}/large", bytes(i * 31 % 251 for i in range(250_000)) * 4)
    zk.set("/", b"the root has data too")


def _every_acl(zk, ipv6):
    zk.auth("digest", ALICE)
    lists = {
        "open": raw.OPEN,
        "read": [(raw.READ, "world", "anyone")],
        "none": [(0, "world", "anyone")],
        "digest": [(raw.ALL, "digest", ALICE_ID)],
        "auth": [(raw.ALL, "auth", "")],
        "ip": [(raw.ALL, "ip", "127.0.0.1"), (raw.READ, "ip", "10.0.0.0/8")],
        "ipv6": [(raw.WRITE, "ip", "::1/128")],
        "several": [
            (raw.READ, "world", "anyone"),
            (raw.ALL, "digest", ALICE_ID),
            (raw.READ | raw.WRITE, "digest", "bob:AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ],
    }
    if not ipv6:
        del lists["ipv6"]
    zk.create(f"{ROOT}/acl")
    for name, acl in lists.items():
        zk.create(f"{ROOT}/acl/{name}", name.encode(), acl=acl)
        zk.create(f"{ROOT}/acl/set-{name}", name.encode())
        zk.set_acl(f"{ROOT}/acl/set-{name}", acl, version=0)
    zk.set_acl(f"{ROOT}/acl/set-open", raw.OPEN, version=1)
    zk.create(f"{ROOT}/acl/ephemeral", b"", raw.EPHEMERAL, acl=lists["digest"])
    zk.create(f"{ROOT}/acl/ttl", b"", raw.TTL, acl=lists["ip"], ttl_ms=86_400_000)


def _versions(zk, other):
    zk.create(f"{ROOT}/versions")
    for i in range(30):
        (zk, other)[i % 2].set(f"{ROOT}/versions", None if i % 7 == 3 else b"%d" % i, version=i)
    for i in range(20):
        path, _ = other.create(f"{ROOT}/versions/n-", b"", raw.SEQUENTIAL)
        if i % 3:
            zk.delete(path, version=0)
    zk.create(f"{ROOT}/versions/again", b"1")
    zk.delete(f"{ROOT}/versions/again")
    other.create(f"{ROOT}/versions/again", b"2", raw.EPHEMERAL)


def _multi(zk):
    base = f"{ROOT}/multi"
    outcome = zk.multi(
        [
            (raw.CREATE, raw.create_body(base, b"m")),
            (raw.CREATE2, raw.create_body(f"{base}/two", None)),
            (raw.CREATE, raw.create_body(f"{base}/ephemeral", b"", raw.EPHEMERAL)),
            (raw.CREATE, raw.create_body(f"{base}/seq-", b"", raw.SEQUENTIAL)),
            (raw.CREATE_CONTAINER, raw.create_body(f"{base}/container", b"", raw.CONTAINER)),
            (raw.CREATE_TTL, raw.create_body(f"{base}/ttl", b"", raw.TTL, ttl_ms=86_400_000)),
            (raw.SET_DATA, raw.set_body(base, b"set in the same step", 0)),
            (raw.CHECK, raw.check_body(base, 1)),
            (raw.CREATE, raw.create_body(f"{base}/gone", b"")),
            (raw.DELETE, raw.delete_body(f"{base}/gone")),
        ]
    )
    equal(outcome, True, "the multi is carried out")
    outcome = zk.multi(
        [
            (raw.SET_DATA, raw.set_body(base, b"never")),
            (raw.CREATE, raw.create_body(f"{base}/never", b"")),
            (raw.CHECK, raw.check_body(base, 7)),
            (raw.DELETE, raw.delete_body(f"{base}/two")),
        ]
    )
    equal(outcome, [0, 0, raw.BAD_VERSION, -2], "the failing multi")
    equal(zk.multi([]), True, "an empty multi")


def _failures(zk, stranger):
    """Refused writes: they too are transactions of the log, with nothing in the tree."""
    for code, attempt in (
        (raw.NODE_EXISTS, lambda: zk.create(ROOT)),
        (raw.NO_NODE, lambda: zk.create(f"{ROOT}/no/parent")),
        (raw.NO_NODE, lambda: zk.delete(f"{ROOT}/no")),
        (raw.NO_NODE, lambda: zk.set(f"{ROOT}/no", b"")),
        (raw.NOT_EMPTY, lambda: zk.delete(ROOT)),
        (raw.BAD_VERSION, lambda: zk.set(ROOT, b"", version=99)),
        (raw.BAD_VERSION, lambda: zk.delete(f"{ROOT}/kinds/ttl/child", version=99)),
        (raw.BAD_VERSION, lambda: zk.set_acl(ROOT, raw.OPEN, version=99)),
        (raw.NO_AUTH, lambda: stranger.set(f"{ROOT}/acl/digest", b"")),
        (raw.INVALID_ACL, lambda: zk.create(f"{ROOT}/no", acl=[(raw.ALL, "nonsense", "x")])),
        (raw.NO_CHILDREN_FOR_EPHEMERALS, lambda: zk.create(f"{ROOT}/acl/ephemeral/x")),
    ):
        try:
            attempt()
        except raw.Refused as refused:
            equal(refused.code, code, "error")
        else:
            raise AssertionError(f"went through, but expected {code}")


def _quota(zk):
    """As the shell's setquota makes it."""
    zk.create("/zookeeper/quota/exchange")
    zk.create("/zookeeper/quota/exchange/zookeeper_limits", b"count=100000,bytes=100000000")
    zk.create("/zookeeper/quota/exchange/zookeeper_stats", b"count=0,bytes=0")


def _many(zk):
    """Over a thousand nodes, pipelined in windows, some set and some deleted again."""
    base = f"{ROOT}/many"
    zk.create(base)
    for shelf in range(MANY // 100):
        zk.create(f"{base}/{shelf}", b"")
        for i in range(100):
            zk.send(raw.CREATE2, raw.create_body(f"{base}/{shelf}/{i}", b"%d" % i * 10))
        for i in range(0, 100, 3):
            zk.send(raw.SET_DATA, raw.set_body(f"{base}/{shelf}/{i}", b"set"))
        for i in range(0, 100, 10):
            zk.send(raw.DELETE, raw.delete_body(f"{base}/{shelf}/{i}"))
        for _ in range(100 + 34 + 10):
            reply = zk.receive()
            equal(reply.error, 0, "one of many")


def go_on(contents, server, round_number):
    """Work on a server that took the directory over: sessions, counters and versions must continue, not begin anew."""
    zk = contents.first
    zk.auth("digest", ALICE)
    for parent in (f"{ROOT}/versions", ROOT, f"{ROOT}/kinds"):
        stat = zk.exists(parent)
        # A Stat's cversion counts creations and deletions; the number of a name counts the creations.
        number = (stat.cversion + stat.num_children) // 2
        path, _ = zk.create(f"{parent}/round-{round_number}-", b"", raw.EPHEMERAL_SEQUENTIAL)
        equal(path, f"{parent}/round-{round_number}-{number:010}", "the number goes on")
    version = zk.exists(f"{ROOT}/versions").version
    equal(zk.set(f"{ROOT}/versions", b"round", version).version, version + 1, "version")
    aversion = zk.exists(f"{ROOT}/acl/set-auth").aversion
    zk.set_acl(f"{ROOT}/acl/set-auth", [(raw.READ, "world", "anyone"), (raw.ALL, "digest", ALICE_ID)], aversion)
    zk.create(f"{ROOT}/kinds/round-{round_number}-container", b"", raw.CONTAINER)
    zk.create(f"{ROOT}/kinds/round-{round_number}-ttl", b"", raw.TTL, ttl_ms=86_400_000)
    for i in range(300):
        zk.send(raw.CREATE, raw.create_body(f"{ROOT}/many/round-{round_number}-{i}", b"r"))
        zk.send(raw.SET_DATA, raw.set_body(f"{ROOT}/many/1/1", b"%d" % i))
    for _ in range(600):
        equal(zk.receive().error, 0, "one of many")
    if contents.second and round_number == 1:
        second = contents.second
        mine = second.ephemerals()
        assert f"{ROOT}/second" in mine and len(mine) == 4, mine
        second.close()
        contents.second = None
        for path in mine:
            equal(zk.exists(path), None, f"{path}, whose session was closed on the other server")


# --- reading everything ----------------------------------------------------------------------------------------------


def dump(server):
    """Every node an administrator sees: path → (data, Stat, ACL)."""
    admin = raw.Client(server.port)
    admin.auth("digest", SUPER)
    nodes, level = {}, ["/"]
    while level:
        below = []
        for start in range(0, len(level), 200):
            window = level[start : start + 200]
            for path in window:
                admin.send(raw.GET_DATA, raw.string(path) + b"\0")
                admin.send(raw.GET_ACL, raw.string(path))
                admin.send(raw.GET_CHILDREN2, raw.string(path) + b"\0")
            for path in window:
                data, acl, children = admin.receive(), admin.receive(), admin.receive()
                equal((data.error, acl.error, children.error), (0, 0, 0), f"reading {path}")
                value, stat = data.body.buffer(), data.body.stat()
                nodes[path] = (value, stat, acl.body.acl())
                names = children.body.strings()
                equal((len(names), children.body.stat()), (stat.num_children, stat), f"children of {path}")
                below += [f"{path.rstrip('/')}/{name}" for name in names]
        level = below
    equal(admin.all_children_number("/"), len(nodes) - 1, "getAllChildrenNumber of the root")
    admin.close()
    return nodes


def compare(before, after):
    """Two dumps must tell the same of every node, quota statistics included: both servers count alike."""
    problems = []
    for path in sorted(set(before) | set(after)):
        old, new = before.get(path), after.get(path)
        if old != new:
            problems.append(f"{path}\n  before {shorten(old)}\n  after  {shorten(new)}")
    assert not problems, f"{len(problems)} nodes differ:\n" + "\n".join(problems[:10])


def shorten(node):
    text = repr(node)
    return text if len(text) < 400 else text[:150] + " … " + text[-240:]

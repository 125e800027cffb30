"""Access control: schemes, permissions, what is shown to whom."""

from kazoo.exceptions import AuthFailedError, BadVersionError, InvalidACLError, NoAuthError
from kazoo.security import ACL, CREATOR_ALL_ACL, OPEN_ACL_UNSAFE, READ_ACL_UNSAFE, Id, Permissions
from kazoo.security import make_acl, make_digest_acl

from harness import SUPER, equal, kazoo, new_kazoo, refused, running, test, wait_until


def user(name, password="pw"):
    return {"auth_data": [("digest", f"{name}:{password}")]}


@test
def open_acl(server):
    with kazoo(server) as zk:
        zk.create("/acl-open")
        acls, stat = zk.get_acls("/acl-open")
        equal(acls, OPEN_ACL_UNSAFE, "default")
        equal(stat.aversion, 0, "aversion")


@test
def digest(server):
    thieves = user("alice", "no")
    with kazoo(server, **user("alice")) as alice, kazoo(server) as nobody, kazoo(server, **thieves) as thief:
        alice.create("/acl-digest", b"secret", acl=[make_digest_acl("alice", "pw", all=True)])
        equal(alice.get("/acl-digest")[0], b"secret", "alice reads")
        for stranger in (nobody, thief):
            for attempt in (
                lambda: stranger.get("/acl-digest"),
                lambda: stranger.exists("/acl-digest"),
                lambda: stranger.set("/acl-digest", b"x"),
                lambda: stranger.create("/acl-digest/child"),
                lambda: stranger.get_children("/acl-digest"),
                lambda: stranger.set_acls("/acl-digest", OPEN_ACL_UNSAFE),
                lambda: stranger.get_acls("/acl-digest"),
            ):
                with refused(NoAuthError):
                    attempt()
        alice.create("/acl-digest/child", b"open")
        # Whether a node may be deleted is its parent's business.
        with refused(NoAuthError):
            nobody.delete("/acl-digest/child")
        equal(nobody.get("/acl-digest/child")[0], b"open", "a child does not inherit")
        alice.delete("/acl-digest/child")
        nobody.delete("/acl-digest")


@test
def each_permission(server):
    with kazoo(server) as zk:
        attempts = {
            Permissions.READ: lambda path: zk.get(path),
            Permissions.WRITE: lambda path: zk.set(path, b"x"),
            Permissions.CREATE: lambda path: zk.create(path + "/new"),
            Permissions.DELETE: lambda path: zk.delete(path + "/child"),
            Permissions.ADMIN: lambda path: zk.set_acls(path, OPEN_ACL_UNSAFE),
        }
        for granted in attempts:
            path = f"/acl-each-{granted}"
            zk.create(path)
            zk.create(path + "/child")
            zk.set_acls(path, [ACL(granted, Id("world", "anyone"))])
            for needed, attempt in attempts.items():
                if needed != granted:
                    with refused(NoAuthError):
                        attempt(path)
            attempts[granted](path)


@test
def auth_scheme_means_the_creator(server):
    with kazoo(server, **user("carol")) as carol, kazoo(server) as nobody:
        carol.create("/acl-auth", acl=CREATOR_ALL_ACL)
        acls, _ = carol.get_acls("/acl-auth")
        equal([(a.id.scheme, a.perms) for a in acls], [("digest", Permissions.ALL)], "resolved at creation")
        assert acls[0].id.id.startswith("carol:"), acls
        with refused(NoAuthError):
            nobody.get("/acl-auth")
        with refused(InvalidACLError):
            nobody.create("/acl-auth-nobody", acl=CREATOR_ALL_ACL)


@test
def ip(server):
    with kazoo(server) as zk:
        for name, allowed in (("127.0.0.1", True), ("127.0.0.0/8", True), ("10.0.0.0/8", False)):
            path = f"/acl-ip-{name.replace('/', '-')}"
            zk.create(path, b"ip", acl=[make_acl("ip", name, all=True)])
            if allowed:
                equal(zk.get(path)[0], b"ip", name)
            else:
                with refused(NoAuthError):
                    zk.get(path)


@test
def add_auth_after_connect(server):
    with kazoo(server, **user("dave")) as dave, kazoo(server) as late:
        dave.create("/acl-late", b"d", acl=[make_digest_acl("dave", "pw", all=True)])
        with refused(NoAuthError):
            late.get("/acl-late")
        late.add_auth("digest", "dave:pw")
        equal(late.get("/acl-late")[0], b"d", "after add_auth")


@test
def identities_come_back_with_a_reconnect():
    with running("acl-restart") as server, kazoo(server, **user("erin")) as erin:
        erin.create("/acl", b"e", acl=CREATOR_ALL_ACL)
        server.kill_and_restart()
        wait_until(lambda: erin.connected, "back again")
        equal(erin.retry(erin.get, "/acl")[0], b"e", "still erin")
        with kazoo(server) as nobody, refused(NoAuthError):
            nobody.get("/acl")


@test
def super_may_everything(server):
    with kazoo(server, **user("frank")) as frank, kazoo(server, auth_data=[("digest", SUPER)]) as admin:
        frank.create("/acl-super", b"f", acl=[make_digest_acl("frank", "pw", read=True)])
        with refused(NoAuthError):
            frank.set("/acl-super", b"x")
        admin.set("/acl-super", b"by the administrator")
        admin.create("/acl-super/child")
        admin.set_acls("/acl-super", OPEN_ACL_UNSAFE)
        admin.delete("/acl-super", recursive=True)
    with kazoo(server, auth_data=[("digest", "super:wrong")]) as fake:
        fake.create("/acl-fake", acl=READ_ACL_UNSAFE)
        with refused(NoAuthError):
            fake.set("/acl-fake", b"x")


@test
def digests_are_masked(server):
    reader_and_admin = [make_digest_acl("grace", "pw", all=True), ACL(Permissions.READ, Id("world", "anyone"))]
    with kazoo(server, **user("grace")) as grace, kazoo(server) as nobody:
        grace.create("/acl-masked", acl=reader_and_admin)
        equal(grace.get_acls("/acl-masked")[0], reader_and_admin, "an admin sees the digest")
        masked = nobody.get_acls("/acl-masked")[0]
        equal([a.id.id for a in masked], ["grace:x", "anyone"], "others do not")


@test
def set_acls_versions(server):
    with kazoo(server) as zk:
        zk.create("/acl-versions", b"data")
        before = zk.exists("/acl-versions")
        stat = zk.set_acls("/acl-versions", READ_ACL_UNSAFE + OPEN_ACL_UNSAFE, version=0)
        equal((stat.aversion, stat.version, stat.mzxid), (1, 0, before.mzxid), "only aversion moves")
        with refused(BadVersionError):
            zk.set_acls("/acl-versions", OPEN_ACL_UNSAFE, version=0)
        zk.set_acls("/acl-versions", OPEN_ACL_UNSAFE, version=1)
        equal(zk.get_acls("/acl-versions")[1].aversion, 2, "aversion")


@test
def bad_lists_are_refused(server):
    with kazoo(server) as zk:
        for acl in (
            [make_acl("nonsense", "id", all=True)],
            [make_acl("ip", "not-an-address", all=True)],
            [make_acl("digest", "no-colon", all=True)],
            [make_acl("world", "somebody", all=True)],
        ):
            with refused(InvalidACLError):
                zk.create("/acl-bad", acl=acl)
        equal(zk.exists("/acl-bad"), None, "nothing was made")


@test
def an_unknown_scheme_ends_the_connection(server):
    client = new_kazoo(server)
    client.start()
    with refused(AuthFailedError):
        client.add_auth("nonsense", "x")
    client.stop()
    client.close()


@test
def acls_in_a_transaction(server):
    with kazoo(server, **user("heidi")) as heidi, kazoo(server) as nobody:
        transaction = heidi.transaction()
        transaction.create("/acl-multi", acl=CREATOR_ALL_ACL)
        transaction.create("/acl-multi/child")
        equal(transaction.commit(), ["/acl-multi", "/acl-multi/child"], "heidi's")
        transaction = nobody.transaction()
        transaction.create("/acl-multi-other")
        transaction.delete("/acl-multi/child")
        equal(type(transaction.commit()[1]), NoAuthError, "nobody's")
        equal(nobody.exists("/acl-multi-other"), None, "rolled back")

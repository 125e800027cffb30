"""kazoo: nodes, their data and Stats, transactions, limits, words."""

import threading

from kazoo.client import KazooState
from kazoo.exceptions import (
    BadArgumentsError,
    BadVersionError,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
    RuntimeInconsistency,
)
from kazoo.retry import KazooRetry

import raw
from harness import equal, kazoo, new_kazoo, refused, running, test, wait_until


@test
def connect_and_state(server):
    states = []
    client = new_kazoo(server)
    client.add_listener(states.append)
    equal(client.connected, False, "before start")
    client.start()
    equal(client.state, KazooState.CONNECTED, "state")
    session, password = client.client_id
    assert session != 0 and len(password) == 16 and any(password), "a session has an id and a password"
    client.stop()
    wait_until(lambda: states == [KazooState.CONNECTED, KazooState.LOST], f"connected, then lost: {states}")
    client.start()
    assert client.client_id[0] != session, "a closed session does not come back"
    client.stop()
    client.close()


@test
def session_timeout_is_negotiated(server):
    # Between 2 and 20 ticks, whatever the client wishes.
    for wished_s, granted_s in ((0.1, 1.0), (3.0, 3.0), (60.0, 10.0)):
        connection = raw.Client(server.port, timeout_ms=int(wished_s * 1000))
        equal(connection.timeout_ms, int(granted_s * 1000), f"timeout for a wish of {wished_s} s")
        connection.close()


@test
def create_persistent(server):
    with kazoo(server) as zk:
        equal(zk.create("/persistent", b"data"), "/persistent", "path")
        with refused(NodeExistsError):
            zk.create("/persistent", b"other")
        equal(zk.get("/persistent")[0], b"data", "the refused create changed nothing")
        with refused(NoNodeError):
            zk.create("/persistent/missing/child", b"")
        equal(zk.create("/persistent/a/b/c", b"deep", makepath=True), "/persistent/a/b/c", "makepath")
        equal(zk.get("/persistent/a/b")[0], b"", "a parent that makepath made is empty")


@test
def create_ephemeral(server):
    with kazoo(server) as observer:
        with kazoo(server) as zk:
            zk.create("/ephemeral", b"e", ephemeral=True)
            equal(observer.exists("/ephemeral").owner_session_id, zk.client_id[0], "owner")
            with refused(NoChildrenForEphemeralsError):
                observer.create("/ephemeral/child", b"")
        # Closing a session is a write: whoever asks after its reply no longer sees the node.
        equal(observer.exists("/ephemeral"), None, "after close")


@test
def create_sequential(server):
    with kazoo(server) as zk:
        zk.create("/sequential")
        names = [zk.create("/sequential/n-", sequence=True) for _ in range(3)]
        equal(names, [f"/sequential/n-{i:010}" for i in range(3)], "names")
        # The counter is the parent's count of creations, so other names and deletions move on with it.
        zk.create("/sequential/other")
        zk.delete(names[2])
        equal(zk.create("/sequential/m-", sequence=True, ephemeral=True), "/sequential/m-0000000004", "next")
        equal(zk.create("/sequential/", sequence=True), "/sequential/0000000005", "empty prefix")


@test
def create_with_stat(server):
    with kazoo(server) as zk:
        path, stat = zk.create("/with-stat", b"12345", include_data=True)
        equal(path, "/with-stat", "path")
        equal(stat, zk.exists("/with-stat"), "Stat in the reply")
        equal((stat.version, stat.cversion, stat.aversion, stat.dataLength), (0, 0, 0, 5), "fresh node")
        equal((stat.mzxid, stat.pzxid), (stat.czxid, stat.czxid), "zxids of a fresh node")
        path, stat = zk.create("/with-stat/s-", b"", sequence=True, ephemeral=True, include_data=True)
        equal((path, stat.ephemeralOwner), ("/with-stat/s-0000000000", zk.client_id[0]), "ephemeral sequential")


@test
def containers_vanish_once_emptied():
    with running("containers", **{"znode.container.checkIntervalMs": 200}) as server:
        connection = raw.Client(server.port)
        _, stat = connection.create("/container", b"c", raw.CONTAINER)
        equal(stat.ephemeral_owner, 0, "a container's Stat shows no owner")
        connection.create("/never-used", b"", raw.CONTAINER)
        connection.create("/container/child")
        connection.delete("/container/child")
        wait_until(lambda: connection.exists("/container") is None, "the emptied container is deleted")
        assert connection.exists("/never-used"), "one that never had a child stays"
        connection.close()


@test
def ttl_nodes_vanish_when_old():
    with running("ttl", **{"znode.container.checkIntervalMs": 200}) as server:
        connection = raw.Client(server.port)
        _, stat = connection.create("/ttl", b"t", raw.TTL, ttl_ms=400)
        equal(stat.ephemeral_owner, 0, "a TTL node's Stat shows no owner")
        path, _ = connection.create("/ttl-", b"t", raw.TTL_SEQUENTIAL, ttl_ms=600_000)
        equal(path, "/ttl-0000000001", "sequential TTL")
        wait_until(lambda: connection.exists("/ttl") is None, "the old node is deleted")
        assert connection.exists(path), "the young one stays"
        connection.close()


@test
def ttl_needs_extended_types():
    with running("no-ttl", extendedTypesEnabled="false") as server:
        connection = raw.Client(server.port)
        with refused(raw.Refused):
            connection.create("/ttl", b"t", raw.TTL, ttl_ms=400)
        equal(connection.exists("/ttl"), None, "nothing was made")
        connection.close()


@test
def set_and_versions(server):
    with kazoo(server) as zk:
        zk.create("/versions", b"0")
        created = zk.exists("/versions")
        for expected in (1, 2, 3):
            stat = zk.set("/versions", b"%d" % expected, version=expected - 1)
            equal(stat.version, expected, "version after set")
        with refused(BadVersionError):
            zk.set("/versions", b"x", version=1)
        with refused(NoNodeError):
            zk.set("/versions-missing", b"x")
        data, stat = zk.get("/versions")
        equal(data, b"3", "data")
        equal((stat.czxid, stat.ctime, stat.pzxid), (created.czxid, created.ctime, created.pzxid), "untouched by set")
        assert stat.mzxid > created.mzxid and stat.mtime >= created.mtime, "touched by set"


@test
def stat_counts_children(server):
    with kazoo(server) as zk:
        zk.create("/family")
        before = zk.exists("/family")
        zk.create("/family/a")
        zk.create("/family/b")
        zk.create("/family/b/grandchild")
        zk.delete("/family/a")
        last = zk.last_zxid
        after = zk.exists("/family")
        equal((after.numChildren, after.cversion, after.version), (1, 3, 0), "children, cversion, version")
        equal((after.mzxid, after.pzxid), (before.mzxid, last), "mzxid stays, pzxid is the last change of a child")


@test
def delete_and_its_errors(server):
    with kazoo(server) as zk:
        zk.create("/delete/child", makepath=True)
        with refused(NotEmptyError):
            zk.delete("/delete")
        with refused(BadVersionError):
            zk.delete("/delete/child", version=4)
        with refused(NoNodeError):
            zk.delete("/delete/missing")
        zk.delete("/delete/child", version=0)
        zk.create("/delete/x/y/z", makepath=True)
        zk.delete("/delete", recursive=True)
        equal(zk.exists("/delete"), None, "after the recursive delete")
        with refused(BadArgumentsError, ValueError):
            zk.delete("/")


@test
def children_with_stat(server):
    with kazoo(server) as zk:
        for name in ("b", "a", "c"):
            zk.create(f"/listing/{name}", makepath=True)
        children, stat = zk.get_children("/listing", include_data=True)
        equal(sorted(children), ["a", "b", "c"], "children")
        equal(stat, zk.exists("/listing"), "Stat")
        with refused(NoNodeError):
            zk.get_children("/listing/missing")
        assert "zookeeper" in zk.get_children("/"), "the root lists /zookeeper"


@test
def null_and_empty_data_differ(server):
    connection = raw.Client(server.port)
    connection.create("/null", None)
    connection.create("/empty", b"")
    equal(connection.get("/null")[0], None, "null stays null")
    equal(connection.get("/empty")[0], b"", "empty stays empty")
    equal(connection.get("/null")[1].data_length, 0, "length of null")
    connection.set("/null", b"")
    equal(connection.get("/null")[0], b"", "null, then set to empty")
    connection.close()


@test
def transaction_commits(server):
    with kazoo(server) as zk:
        zk.create("/multi", b"0")
        transaction = zk.transaction()
        transaction.create("/multi/a", b"a")
        transaction.create("/multi/a/b", b"b")
        transaction.check("/multi", version=0)
        transaction.set_data("/multi", b"1", version=0)
        transaction.create("/multi/s-", sequence=True, ephemeral=True)
        transaction.delete("/multi/a/b")
        results = transaction.commit()
        equal(results[0], "/multi/a", "create")
        equal(results[3].version, 1, "set_data's Stat")
        equal(results[4], "/multi/s-0000000001", "sequential create")
        equal((results[2], results[5]), (True, True), "check and delete")
        # All parts carry the one zxid.
        equal(zk.exists("/multi").mzxid, zk.exists("/multi/a").czxid, "zxid of the parts")
        equal(sorted(zk.get_children("/multi")), ["a", "s-0000000001"], "children")


@test
def transaction_fails_as_a_whole(server):
    with kazoo(server) as zk:
        zk.create("/rollback", b"0")
        transaction = zk.transaction()
        transaction.create("/rollback/a")
        transaction.set_data("/rollback", b"1")
        transaction.check("/rollback", version=7)
        transaction.delete("/rollback")
        results = transaction.commit()
        kinds = [type(result) for result in results]
        equal(kinds, [RolledBackError, RolledBackError, BadVersionError, RuntimeInconsistency], "results")
        data, stat = zk.get("/rollback")
        equal((data, stat.version, stat.numChildren, stat.cversion), (b"0", 0, 0, 0), "nothing happened")
        equal(zk.create("/rollback/s-", sequence=True), "/rollback/s-0000000000", "the counter did not move either")


@test
def transaction_of_a_thousand(server):
    with kazoo(server) as zk:
        transaction = zk.transaction()
        transaction.create("/thousand")
        for i in range(1000):
            transaction.create(f"/thousand/{i}", b"x" * 100)
        results = transaction.commit()
        equal(len(results), 1001, "results")
        equal(len(zk.get_children("/thousand")), 1000, "children")


@test
def large_data(server):
    # A request may have jute.maxbuffer bytes, 0xfffff; this one keeps just below, path and header included.
    with kazoo(server) as zk:
        largest = bytes(range(256)) * 4091
        assert len(largest) > 1_047_000
        zk.create("/large", largest)
        equal(zk.get("/large")[0] == largest, True, "as created")
        zk.set("/large", largest[::-1])
        data, stat = zk.get("/large")
        equal((data == largest[::-1], stat.dataLength), (True, len(largest)), "as set")


@test
def too_large_a_request_ends_the_connection(server):
    states = []
    with kazoo(server, command_retry={"max_tries": 0}) as zk:
        session = zk.client_id[0]
        zk.add_listener(states.append)
        with refused(Exception):
            zk.create("/too-large", b"x" * (1024 * 1024 + 1))
        wait_until(lambda: KazooState.SUSPENDED in states and zk.connected, "hung up on, then back")
        equal(zk.client_id[0], session, "the session survives")
        equal(zk.exists("/too-large"), None, "nothing was made")


@test
def five_thousand_children(server):
    with kazoo(server) as zk:
        zk.create("/crowd")
        pending = [zk.create_async(f"/crowd/child-{i:05}", b"%d" % i) for i in range(5000)]
        for answer in pending:
            answer.get(timeout=30)
        children, stat = zk.get_children("/crowd", include_data=True)
        equal(len(set(children)), 5000, "children")
        equal((stat.numChildren, stat.cversion), (5000, 5000), "numChildren, cversion")
        equal(zk.get("/crowd/child-04321")[0], b"4321", "one of them")
        for answer in [zk.delete_async(f"/crowd/{name}") for name in children]:
            answer.get(timeout=30)
        equal(zk.exists("/crowd").cversion, 10000, "cversion after the deletes")


@test
def unicode_paths(server):
    with kazoo(server) as zk:
        for name in ("größe", "日本語", "café", "with blank", "quote\"'", "dots..in.between", "…"):
            path = zk.create(f"/unicode/{name}", name.encode(), makepath=True)
            equal(path, f"/unicode/{name}", "path")
            equal(zk.get(path)[0].decode(), name, "data")
        equal(len(zk.get_children("/unicode")), 7, "children")
        assert "日本語" in zk.get_children("/unicode")
        # Java counts UTF-16 units and allows no half of a pair in a path; in data everything goes.
        with refused(BadArgumentsError):
            zk.create("/unicode/🦓")


@test
def bad_paths_are_refused(server):
    connection = raw.Client(server.port)
    for path in ("", "relative", "/trailing/", "//double", "/a//b", "/.", "/..", "/a/../b", "/nul\0", "/\x01", "/\ue000"):
        with refused(raw.Refused):
            connection.create(path)
    equal(connection.children("/").count("a"), 0, "nothing was made")
    connection.close()


@test
def chroot(server):
    with kazoo(server) as zk:
        zk.ensure_path("/chroot/inner")
    with kazoo(server) as zk, kazoo(server, chroot="/chroot/inner") as inner:
        equal(inner.create("/node", b"n"), "/node", "the client's own view")
        equal(inner.create("/seq-", sequence=True), "/seq-0000000001", "sequential below a chroot")
        equal(zk.get("/chroot/inner/node")[0], b"n", "the whole view")
        seen = []
        inner.exists("/node", watch=lambda event: seen.append(event.path))
        zk.delete("/chroot/inner/node")
        wait_until(lambda: seen == ["/node"], "the event tells the client's own path")
        equal(inner.sync("/"), "/", "sync below a chroot")


@test
def async_requests_keep_their_order(server):
    with kazoo(server) as zk:
        zk.create("/order", b"")
        answers = []
        for i in range(200):
            zk.set_async("/order", b"%d" % i)
            answers.append((i, zk.get_async("/order")))
        for i, answer in answers:
            data, stat = answer.get(timeout=20)
            equal((data, stat.version), (b"%d" % i, i + 1), "a read sees the write sent before it")


@test
def retry_outlasts_a_restart():
    with running("retry") as server, kazoo(server) as zk:
        zk.create("/retry", b"before")
        server.kill()
        done = []
        retry = KazooRetry(max_tries=-1, delay=0.05, max_delay=0.3)
        thread = threading.Thread(target=lambda: done.append(retry(zk.set, "/retry", b"after")), daemon=True)
        thread.start()
        server.start()
        wait_until(lambda: done, "the retried write goes through")
        equal(zk.get("/retry")[0], b"after", "data")


@test
def words(server):
    with kazoo(server) as zk:
        zk.create("/words")
        zk.create("/words/ephemeral", ephemeral=True)
        equal(zk.command(b"ruok"), "imok", "ruok")
        equal(zk.command(b"isro"), "rw", "isro")
        version = zk.server_version()
        assert version >= (3, 5), f"server_version reads envi: {version}"
        lines = zk.command(b"srvr").splitlines()
        assert lines[0].startswith("Zookeeper version: "), lines[0]
        keys = [line.split(":")[0] for line in lines]
        expected = "Latency min/avg/max|Received|Sent|Connections|Outstanding|Zxid|Mode|Node count".split("|")
        equal(keys[1:], expected, "lines of srvr")
        assert "Mode: standalone" in lines
        stat = zk.command(b"stat")
        assert "Clients:" in stat and "/127.0.0.1:" in stat, stat
        equal(server.metric("zk_server_state"), "standalone", "mntr: state")
        equal(server.metric("zk_ephemerals_count"), "1", "mntr: ephemerals")
        assert int(server.metric("zk_znode_count")) >= 5, "mntr: nodes"
        assert int(server.metric("zk_num_alive_connections")) >= 1, "mntr: connections"
        session = f"0x{zk.client_id[0]:x}"
        dump = server.word("dump")
        assert session in dump and "/words/ephemeral" in dump, dump
        assert f"sid={session}" in server.word("cons"), "cons names the session"
        for word, beginning in (("conf", "clientPort="), ("envi", "Environment:"), ("dirs", "datadir_size:")):
            assert server.word(word).startswith(beginning), f"{word}: {server.word(word)[:80]}"
        zk.exists("/words", watch=lambda event: None)
        assert "1 connections watching 1 paths" in server.word("wchs"), server.word("wchs")
        assert session in server.word("wchc") and "/words" in server.word("wchp"), "wchc and wchp"
        equal(server.word("srst"), "Server stats reset.\n", "srst")
        equal(server.word("nope"), "", "an unknown word is hung up on")


@test
def words_need_the_whitelist():
    with running("whitelist", **{"4lw.commands.whitelist": "srvr, ruok"}) as server:
        equal(server.word("ruok"), "imok", "on the list")
        equal(server.word("mntr"), "mntr is not executed because it is not in the whitelist.\n", "not on the list")


@test
def a_closed_session_answers_no_more(server):
    first = raw.Client(server.port)
    second = raw.Client(server.port)
    first.close()
    try:
        raw.Client(server.port, session=first.session)
        raise AssertionError("a closed session was resumed")
    except raw.SessionRefused:
        pass
    second.ping()
    second.close()

"""Watches: what fires, what comes through a broken connection, and what is re-armed after one."""

import contextlib
import socket

from kazoo.protocol.states import EventType, KazooState

import raw
from harness import Proxy, equal, kazoo, new_kazoo, running, test, wait_until


def recorder(seen):
    return lambda event: seen.append((event.type, event.path))


@test
def exists_watch(server):
    with kazoo(server) as zk:
        seen = []
        equal(zk.exists("/w-exists", watch=recorder(seen)), None, "missing")
        zk.create("/w-exists")
        wait_until(lambda: seen == [(EventType.CREATED, "/w-exists")], "created")
        zk.set("/w-exists", b"unseen: a watch fires once")
        zk.exists("/w-exists", watch=recorder(seen))
        zk.set("/w-exists", b"seen")
        wait_until(lambda: seen[1:] == [(EventType.CHANGED, "/w-exists")], "changed")
        zk.exists("/w-exists", watch=recorder(seen))
        zk.delete("/w-exists")
        wait_until(lambda: seen[2:] == [(EventType.DELETED, "/w-exists")], "deleted")


@test
def get_watch(server):
    with kazoo(server) as zk:
        seen = []
        zk.create("/w-get", b"0")
        zk.get("/w-get", watch=recorder(seen))
        zk.create("/w-get/child")  # no business of a data watch
        zk.set("/w-get", b"1")
        wait_until(lambda: seen == [(EventType.CHANGED, "/w-get")], "changed, and nothing else")


@test
def children_watch(server):
    with kazoo(server) as zk:
        seen = []
        zk.create("/w-children")
        zk.get_children("/w-children", watch=recorder(seen))
        zk.set("/w-children", b"no business of a child watch")
        zk.create("/w-children/a")
        wait_until(lambda: seen == [(EventType.CHILD, "/w-children")], "a child came")
        zk.get_children("/w-children", watch=recorder(seen))
        zk.delete("/w-children/a")
        wait_until(lambda: len(seen) == 2, "a child went")
        zk.get_children("/w-children", watch=recorder(seen))
        zk.delete("/w-children")
        wait_until(lambda: seen[2:] == [(EventType.DELETED, "/w-children")], "the node itself went")


@test
def an_event_comes_before_the_new_value(server):
    connection, writer = raw.Client(server.port), raw.Client(server.port)
    connection.create("/w-order", b"old")
    connection.get("/w-order", watch=True)
    writer.set("/w-order", b"new")
    # The writer has its reply, so the value is there; whoever reads it must have got the event first.
    data, stat = connection.get("/w-order")
    equal(data, b"new", "value")
    equal(connection.events, [raw.Event(raw.DATA_CHANGED, "/w-order", stat.mzxid)], "event read before the reply")
    connection.close()
    writer.close()


@test
def transaction_fires_every_part(server):
    with kazoo(server) as zk:
        seen = []
        zk.create("/w-multi")
        zk.exists("/w-multi/a", watch=recorder(seen))
        zk.get("/w-multi", watch=recorder(seen))
        zk.get_children("/w-multi", watch=recorder(seen))
        transaction = zk.transaction()
        transaction.create("/w-multi/a")
        transaction.set_data("/w-multi", b"x")
        transaction.commit()
        expected = {
            (EventType.CREATED, "/w-multi/a"),
            (EventType.CHILD, "/w-multi"),
            (EventType.CHANGED, "/w-multi"),
        }
        wait_until(lambda: set(seen) == expected and len(seen) == 3, "one event for each")


@test
def data_watch(server):
    with kazoo(server) as zk:
        seen = []
        zk.DataWatch("/w-data", lambda data, stat: seen.append((data, stat and stat.version)))
        zk.create("/w-data", b"a")
        wait_until(lambda: seen[-1] == (b"a", 0), "created")
        zk.set("/w-data", b"b")
        wait_until(lambda: seen[-1] == (b"b", 1), "changed")
        zk.delete("/w-data")
        wait_until(lambda: seen[-1] == (None, None), "deleted")
        zk.create("/w-data", b"again")
        wait_until(lambda: seen[-1] == (b"again", 0), "created again")


@test
def children_watch_recipe(server):
    with kazoo(server) as zk:
        zk.create("/w-kids")
        seen = []
        zk.ChildrenWatch("/w-kids", lambda children: seen.append(sorted(children)))
        for name in "abc":
            zk.create(f"/w-kids/{name}")
        wait_until(lambda: seen[-1] == ["a", "b", "c"], "all three")
        zk.delete("/w-kids/b")
        wait_until(lambda: seen[-1] == ["a", "c"], "two left")


@test
def watches_see_what_a_broken_connection_missed(server):
    proxy = Proxy(server)
    states = []
    far = new_kazoo(proxy)
    far.start()
    session = far.client_id[0]
    far.add_listener(states.append)
    with kazoo(server) as near:
        near.create("/w-missed", b"before")
        data, children = [], []
        far.DataWatch("/w-missed", lambda value, stat: data.append(value))
        far.ChildrenWatch("/w-missed", lambda names: children.append(sorted(names)))
        wait_until(lambda: data == [b"before"] and children == [[]], "the first values")
        proxy.cut()
        wait_until(lambda: states == [KazooState.SUSPENDED], "cut off")
        near.set("/w-missed", b"meanwhile")
        near.create("/w-missed/born")
        proxy.mend()
        wait_until(lambda: data[-1] == b"meanwhile" and children[-1] == ["born"], "what was missed")
        equal(far.client_id[0], session, "the same session")
        near.set("/w-missed", b"after")
        wait_until(lambda: data[-1] == b"after", "still watching")
    far.stop()
    far.close()
    proxy.close()


@test
def a_closed_socket_does_not_end_the_session(server):
    with kazoo(server) as zk:
        session = zk.client_id[0]
        zk.create("/w-socket", ephemeral=True)
        data = []
        zk.DataWatch("/w-socket", lambda value, stat: data.append(value))
        states = []
        zk.add_listener(states.append)
        with contextlib.suppress(OSError):
            zk._connection._socket.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: states == [KazooState.SUSPENDED, KazooState.CONNECTED], "suspended, then connected")
        equal(zk.client_id[0], session, "session")
        equal(zk.exists("/w-socket").owner_session_id, session, "its ephemeral node")
        zk.retry(zk.set, "/w-socket", b"x")
        wait_until(lambda: data[-1] == b"x", "the watch lives")


@test
def watches_through_kill_and_restart():
    with running("watch-restart") as server, kazoo(server) as zk:
        zk.create("/w-restart", b"before")
        data, children = [], []
        zk.DataWatch("/w-restart", lambda value, stat: data.append(value))
        zk.ChildrenWatch("/w-restart", lambda names: children.append(sorted(names)))
        session = zk.client_id[0]
        server.kill_and_restart()
        wait_until(lambda: zk.connected, "back again")
        equal(zk.client_id[0], session, "session")
        zk.retry(zk.set, "/w-restart", b"after")
        zk.retry(zk.create, "/w-restart/child")
        wait_until(lambda: data[-1] == b"after" and children[-1] == ["child"], "both watches fire")


@test
def set_watches_tells_what_was_missed(server):
    writer = raw.Client(server.port)
    for name in ("changed", "deleted", "quiet", "family", "family-quiet", "born-quiet"):
        if name != "born-quiet":
            writer.create(f"/sw-{name}", b"0")
    connection = raw.Client(server.port)
    connection.exists("/")
    seen_until = writer.last_zxid
    connection.hang_up()
    writer.set("/sw-changed", b"1")
    writer.delete("/sw-deleted")
    writer.create("/sw-born", b"")
    writer.create("/sw-family/child")
    connection = raw.Client(server.port, session=connection.session, last_zxid=seen_until)
    connection.set_watches(
        seen_until,
        data=["/sw-changed", "/sw-deleted", "/sw-quiet"],
        exists=["/sw-born", "/sw-born-quiet"],
        children=["/sw-family", "/sw-family-quiet"],
    )
    found = sorted((event.type, event.path) for event in connection.events)
    expected = [
        (raw.CREATED, "/sw-born"),
        (raw.DELETED, "/sw-deleted"),
        (raw.DATA_CHANGED, "/sw-changed"),
        (raw.CHILDREN_CHANGED, "/sw-family"),
    ]
    equal(found, expected, "missed events, before the reply")
    connection.events.clear()
    # Those that missed nothing are armed again, the others are spent.
    for name in ("changed", "family"):
        writer.set(f"/sw-{name}", b"2")
    writer.set("/sw-quiet", b"1")
    writer.create("/sw-born-quiet", b"")
    writer.create("/sw-family-quiet/child")
    found = [(event.type, event.path) for event in connection.wait_for_events(3)]
    expected = [
        (raw.DATA_CHANGED, "/sw-quiet"),
        (raw.CREATED, "/sw-born-quiet"),
        (raw.CHILDREN_CHANGED, "/sw-family-quiet"),
    ]
    equal(found, expected, "events after")
    connection.close()
    writer.close()


@test
def set_watches_after_kill_and_restart():
    with running("setwatches") as server:
        connection = raw.Client(server.port)
        connection.create("/sw", b"0")
        connection.get("/sw", watch=True)
        seen_until = connection.last_zxid
        server.kill_and_restart()
        connection = raw.Client(server.port, session=connection.session, last_zxid=seen_until)
        connection.set_watches(seen_until, data=["/sw"], persistent=[], recursive=["/"])
        equal(connection.events, [], "nothing was missed")
        writer = raw.Client(server.port)
        writer.set("/sw", b"1")
        writer.create("/sw/a")
        found = [(event.type, event.path) for event in connection.wait_for_events(2)]
        # A one-shot and a recursive watch of one client on one node: one event.
        equal(found, [(raw.DATA_CHANGED, "/sw"), (raw.CREATED, "/sw/a")], "both kinds fire")
        connection.close()
        writer.close()


@test
def persistent_watches_stay(server):
    connection, writer = raw.Client(server.port), raw.Client(server.port)
    writer.create("/w-persistent")
    connection.add_watch("/w-persistent", recursive=False)
    writer.set("/w-persistent", b"1")
    writer.set("/w-persistent", b"2")
    writer.create("/w-persistent/a")
    writer.create("/w-persistent/a/b")
    writer.delete("/w-persistent/a/b")
    found = [(event.type, event.path) for event in connection.wait_for_events(3)]
    expected = [(raw.DATA_CHANGED, "/w-persistent")] * 2 + [(raw.CHILDREN_CHANGED, "/w-persistent")]
    equal(found, expected, "persistent")
    connection.add_watch("/w-persistent", recursive=True)
    writer.create("/w-persistent/a/c")
    writer.set("/w-persistent/a/c", b"x")
    writer.delete("/w-persistent/a/c")
    found = [(event.type, event.path) for event in connection.wait_for_events(3)]
    kinds = [raw.CREATED, raw.DATA_CHANGED, raw.DELETED]
    equal(found, [(kind, "/w-persistent/a/c") for kind in kinds], "recursive: no events about children lists")
    connection.close()
    writer.close()

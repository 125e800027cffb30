"""Sessions: how they end, how they are resumed, what refuses them."""

import subprocess
import sys
import time

from kazoo.client import KazooState

import raw
from harness import KIND, TICK_MS, Proxy, equal, kazoo, new_kazoo, running, start_process, test, wait_until

# How late a busy machine may make us see what has happened.
BUSY_MS = 1500

VICTIM = """
import sys
sys.path.insert(0, sys.argv[1])
import harness
from collections import namedtuple
client = harness.new_kazoo(namedtuple("Server", "port")(int(sys.argv[2])), timeout=float(sys.argv[3]))
client.start()
client.create("/victim", b"", ephemeral=True)
print("ready", flush=True)
import threading; threading.Event().wait()
"""


def refuse_resume(port, session):
    try:
        raw.Client(port, session=session)
    except raw.SessionRefused:
        return
    raise AssertionError("the session was resumed")


@test
def a_killed_client_vanishes_after_its_timeout(server):
    timeout_ms = 2000
    with kazoo(server) as observer:
        command = [sys.executable, "-c", VICTIM, __file__.rpartition("/")[0], str(server.port), str(timeout_ms / 1000)]
        victim = start_process(command, stdout=subprocess.PIPE)
        equal(victim.stdout.readline(), b"ready\n", "the victim lives")
        killed = time.monotonic()
        victim.kill()
        victim.wait(10)
        victim.stdout.close()
        assert observer.exists("/victim"), "a dead client is not yet a dead session"
        wait_until(lambda: observer.exists("/victim") is None, "the ephemeral node vanishes")
        lived_ms = (time.monotonic() - killed) * 1000
        # kazoo pings after half its read timeout, a third of the session's, less some jitter.
        assert lived_ms > timeout_ms * 0.6, f"too early: {lived_ms:.0f} ms"
        assert lived_ms < timeout_ms + TICK_MS + BUSY_MS, f"too late: {lived_ms:.0f} ms"


@test
def a_silent_session_lives_its_timeout_and_at_most_a_tick_more(server):
    with kazoo(server) as observer:
        connection = raw.Client(server.port, timeout_ms=1500)
        # The server hears of the session for the last time somewhere between these two moments.
        before = time.monotonic()
        connection.create("/silent", b"", raw.EPHEMERAL)
        after = time.monotonic()
        gone = []
        observer.DataWatch("/silent", lambda data, stat: gone.append(time.monotonic()) if stat is None else None)
        wait_until(lambda: gone, "expired")
        least_ms, most_ms = (gone[0] - after) * 1000, (gone[0] - before) * 1000
        assert most_ms >= 1500, f"too early: lived {most_ms:.0f} ms"
        assert least_ms <= 1500 + TICK_MS + BUSY_MS, f"too late: lived {least_ms:.0f} ms"
        refuse_resume(server.port, connection.session)


@test
def a_ping_keeps_a_session(server):
    connection = raw.Client(server.port, timeout_ms=1500)
    connection.create("/pinged", b"", raw.EPHEMERAL)
    started = time.monotonic()

    def ping_for_two_timeouts_and_a_half():
        connection.ping()
        return time.monotonic() - started > 2.5 * 1.5

    wait_until(ping_for_two_timeouts_and_a_half, "time passes")
    assert connection.exists("/pinged"), "alive"
    connection.close()


@test
def resume_with_client_id(server):
    first = raw.Client(server.port)
    first.create("/resumed", b"", raw.EPHEMERAL)
    with kazoo(server, client_id=first.session) as second:
        equal(second.client_id, first.session, "the same session")
        equal(second.exists("/resumed").owner_session_id, first.session_id, "with its nodes")
        equal(first.socket.recv(1), b"", "the older connection is dropped")
    with kazoo(server) as observer:
        equal(observer.exists("/resumed"), None, "closed by the second")
    refuse_resume(server.port, first.session)


@test
def resume_after_kill_and_restart():
    with running("resume") as server:
        connection = raw.Client(server.port, timeout_ms=8000)
        connection.create("/mine", b"", raw.EPHEMERAL)
        server.kill_and_restart()
        again = raw.Client(server.port, timeout_ms=8000, session=connection.session)
        equal(again.session, connection.session, "id and password")
        equal(again.timeout_ms, 8000, "timeout")
        equal(again.ephemerals(), ["/mine"], "its nodes")
        again.close()
        with kazoo(server) as observer:
            equal(observer.exists("/mine"), None, "closed")


@test
def a_session_nobody_resumes_expires_after_a_restart():
    with running("expire-restart") as server:
        connection = raw.Client(server.port, timeout_ms=1500)
        connection.create("/orphan", b"", raw.EPHEMERAL)
        server.kill()
        started = time.monotonic()
        server.start()
        with kazoo(server) as observer:
            wait_until(lambda: observer.exists("/orphan") is None, "it expires")
            lived_s = time.monotonic() - started
            # A restart gives every session its whole timeout again.
            assert lived_s >= 1.5, f"too early: lived {lived_s:.2f} s"
        refuse_resume(server.port, connection.session)


@test
def a_wrong_password_is_refused(server):
    connection = raw.Client(server.port)
    connection.create("/guarded", b"", raw.EPHEMERAL)
    refuse_resume(server.port, (connection.session_id, bytes(16)))
    refuse_resume(server.port, (connection.session_id, connection.password[::-1]))
    if KIND == "apache":
        # It hangs up on the owner before it looks at the password; the session itself goes on.
        connection = raw.Client(server.port, session=connection.session)
    equal(connection.ephemerals(), ["/guarded"], "the owner noticed nothing")
    connection.close()


@test
def an_unknown_session_is_refused(server):
    connection = raw.Client(server.port)
    refuse_resume(server.port, (connection.session_id + 4711, connection.password))
    connection.close()
    refuse_resume(server.port, connection.session)


@test
def kazoo_learns_of_its_expiry():
    with running("expiry") as server:
        proxy = Proxy(server)
        states = []
        client = new_kazoo(proxy)
        client.add_listener(states.append)
        client.start()
        identity, session = client.client_id, client.client_id[0]
        client.create("/expiring", ephemeral=True)
        # Cut off, it cannot take the session back before it is closed.
        proxy.cut()
        raw.Client(server.port, session=identity).close()
        proxy.mend()
        expected = [KazooState.CONNECTED, KazooState.SUSPENDED, KazooState.LOST, KazooState.CONNECTED]
        wait_until(lambda: states == expected, f"suspended, lost, new session: {states}", 15)
        assert client.client_id[0] != session, "a new session"
        equal(client.exists("/expiring"), None, "the old one's node is gone")
        client.stop()
        client.close()
        proxy.close()


@test
def a_client_ahead_of_the_server_is_turned_away(server):
    # It has seen the future: a server that answered it would show it the past.
    try:
        raw.Client(server.port, last_zxid=1 << 40)
    except (ConnectionError, raw.SessionRefused):
        return
    raise AssertionError("accepted")


@test
def ephemerals_by_session(server):
    one, two = raw.Client(server.port), raw.Client(server.port)
    one.create("/eph")
    for owner, name in ((one, "a"), (one, "b"), (two, "c")):
        owner.create(f"/eph/{name}", b"", raw.EPHEMERAL)
    equal(one.ephemerals("/eph"), ["/eph/a", "/eph/b"], "one's")
    equal(one.ephemerals("/eph/b"), ["/eph/b"], "by prefix")
    equal(two.ephemerals(), ["/eph/c"], "two's")
    # Deleted and made anew by another, a node changes its owner.
    two.delete("/eph/a")
    two.create("/eph/a", b"", raw.EPHEMERAL)
    one.close()
    equal(two.children("/eph"), ["a", "c"], "one's close left two's node alone")
    two.close()

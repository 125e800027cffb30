"""kazoo's recipes, as applications use them: locks, semaphores, elections, queues, counters, barriers, parties.

The lock is also held and fought for while the server is killed and comes back: a holder's session and node must
survive, and never may two be inside.
"""

import contextlib
import subprocess
import sys
import threading

from kazoo.exceptions import LockTimeout

from harness import equal, kazoo, new_directory, new_kazoo, refused, running, start_process, test, wait_until


def in_background(function, *arguments):
    """Runs `function` in a thread; the answered list receives its result or exception."""
    done = []

    def run():
        try:
            done.append(function(*arguments))
        except Exception as error:
            done.append(error)

    threading.Thread(target=run, daemon=True).start()
    return done


@contextlib.contextmanager
def several(server, count, **options):
    """`count` connected clients."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(kazoo(server, **options)) for _ in range(count)]


@test
def lock_excludes(server):
    with several(server, 5) as clients:
        inside, most, turns = [], [], []

        def work(client, name):
            lock = client.Lock("/lock", name)
            for _ in range(4):
                with lock:
                    inside.append(name)
                    most.append(len(inside))
                    client.sync("/lock")
                    inside.remove(name)
                    turns.append(name)

        done = [in_background(work, client, f"client-{i}") for i, client in enumerate(clients)]
        wait_until(lambda: all(done), "everybody had four turns", 30)
        equal(done, [[None]] * 5, "no error")
        equal((max(most), len(turns)), (1, 20), "never two inside, twenty turns")
        equal(clients[0].get_children("/lock"), [], "nothing is left")


@test
def lock_is_fair_and_times_out(server):
    with several(server, 3) as (first, second, third):
        holder = first.Lock("/lock-fair", "first")
        holder.acquire()
        waiting = in_background(second.Lock("/lock-fair", "second").acquire)
        wait_until(lambda: holder.contenders() == ["first", "second"], "second waits")
        with refused(LockTimeout):
            third.Lock("/lock-fair", "third").acquire(timeout=0.3)
        equal(third.Lock("/lock-fair", "third").acquire(blocking=False), False, "not free")
        wait_until(lambda: holder.contenders() == ["first", "second"], "third left nothing behind")
        holder.release()
        wait_until(lambda: waiting == [True], "second's turn")


@test
def lock_survives_kill_of_the_server():
    with running("lock-kill") as server, several(server, 4) as clients:
        locks = [client.Lock("/lock", f"client-{i}") for i, client in enumerate(clients)]
        sessions = [client.client_id for client in clients]
        locks[0].acquire()
        waiting = []
        for i, lock in enumerate(locks[1:], start=1):
            waiting.append(in_background(lock.acquire))
            wait_until(lambda: len(clients[0].get_children("/lock")) == i + 1, f"client {i} queues up")
        nodes = sorted(clients[0].get_children("/lock"))

        for turn in range(4):
            server.kill_and_restart()
            wait_until(lambda: all(client.connected for client in clients), "all are back", 15)
            equal([client.client_id for client in clients], sessions, "every session resumed")
            found = sorted(clients[turn].retry(clients[turn].get_children, "/lock"))
            equal(len(found), 4 - turn, "no node was lost or doubled")
            assert set(found) <= set(nodes), f"the nodes are the old ones: {found}"
            granted = [len(done) for done in waiting]
            equal(granted, [1] * turn + [0] * (3 - turn), "still only the holder holds")
            locks[turn].release()
            if turn < 3:
                wait_until(lambda: waiting[turn] == [True], f"client {turn + 1}'s turn")
        equal(clients[0].get_children("/lock"), [], "nothing is left")


WORKER = """
import sys
sys.path.insert(0, sys.argv[1])
import harness
from collections import namedtuple
client = harness.new_kazoo(namedtuple("Server", "port")(int(sys.argv[2])))
client.start()
client.create("/ready/" + sys.argv[4])
harness.wait_until(lambda: client.exists("/go"), "all are ready", 15)
lock = client.Lock("/lock", sys.argv[4])
for turn in range(int(sys.argv[5])):
    with lock:
        for word in ("in", "out"):
            with open(sys.argv[3], "a") as log:
                log.write(f"{word} {sys.argv[4]}\\n")
            if word == "in":
                client.retry(client.set, "/lock", sys.argv[4].encode())
client.stop()
"""


@test
def lock_between_processes_while_the_server_is_killed():
    turns, workers = 15, 4
    log = new_directory("lock-processes") / "turns"
    log.touch()
    with running("lock-processes") as server, kazoo(server) as zk:
        zk.create("/lock")
        zk.create("/ready")
        processes = []
        here = __file__.rpartition("/")[0]
        for name in range(workers):
            command = [sys.executable, "-c", WORKER, here, str(server.port), str(log), f"w{name}", str(turns)]
            with (log.parent / f"errors-{name}").open("wb") as errors:
                processes.append(start_process(command, stderr=errors))
        # kazoo gives a start up when its new connection is lost before it has looked: nobody may still be connecting.
        wait_until(lambda: len(zk.get_children("/ready")) == workers, "all are ready", 15)
        zk.create("/go")
        for kill in range(1, 4):
            # At a quarter, half and three quarters of the work.
            wait_until(lambda: len(log.read_text().splitlines()) >= kill * turns * workers // 2, "work goes on", 30)
            server.kill_and_restart()
        wait_until(lambda: all(p.poll() is not None for p in processes), "all workers are done", 45)
        said = "".join(f.read_text() for f in sorted(log.parent.glob("errors-*")))
        equal([p.returncode for p in processes], [0] * workers, f"exit codes of the workers, who said\n{said}")
    lines = log.read_text().splitlines()
    equal(len(lines), 2 * turns * workers, "entries and exits")
    for entered, left in zip(lines[::2], lines[1::2]):
        equal((entered.split()[0], left), ("in", entered.replace("in", "out")), "never two inside")


@test
def a_dead_holder_frees_the_lock():
    with running("lock-dead") as server, kazoo(server) as zk:
        command = [sys.executable, "-c", HOLDER, __file__.rpartition("/")[0], str(server.port)]
        process = start_process(command, stdout=subprocess.PIPE)
        equal(process.stdout.readline(), b"held\n", "the other process has the lock")
        process.kill()
        process.wait(10)
        process.stdout.close()
        equal(zk.Lock("/lock", "heir").acquire(timeout=10), True, "inherited when the session expired")


HOLDER = """
import sys
sys.path.insert(0, sys.argv[1])
import harness
from collections import namedtuple
client = harness.new_kazoo(namedtuple("Server", "port")(int(sys.argv[2])), timeout=1.5)
client.start()
client.Lock("/lock", "holder").acquire()
print("held", flush=True)
sys.stdin.read()
import threading; threading.Event().wait()
"""


@test
def read_and_write_locks(server):
    with several(server, 3) as (one, two, three):
        readers = [one.ReadLock("/rw"), two.ReadLock("/rw")]
        writer = three.WriteLock("/rw")
        equal([reader.acquire(timeout=5) for reader in readers], [True, True], "readers share")
        equal(writer.acquire(blocking=False), False, "the writer waits")
        waiting = in_background(writer.acquire)
        for reader in readers:
            reader.release()
        wait_until(lambda: waiting == [True], "the writer's turn")
        equal(readers[0].acquire(blocking=False), False, "readers wait for the writer")
        writer.release()


@test
def semaphore(server):
    with several(server, 4) as clients:
        semaphores = [client.Semaphore("/semaphore", f"c{i}", max_leases=2) for i, client in enumerate(clients)]
        equal([s.acquire(blocking=False) for s in semaphores], [True, True, False, False], "two leases")
        waiting = in_background(semaphores[2].acquire)
        semaphores[0].release()
        wait_until(lambda: waiting == [True], "a lease went on")
        equal(sorted(semaphores[3].lease_holders()), ["c1", "c2"], "holders")


@test
def election(server):
    with several(server, 3) as clients:
        led, resign = [], [threading.Event() for _ in clients]

        def lead(name):
            led.append(name)
            resign[name].wait(20)

        elections = [client.Election("/election", str(i)) for i, client in enumerate(clients)]
        for i, candidate in enumerate(elections):
            in_background(candidate.run, lead, i)
            wait_until(lambda: len(candidate.contenders()) == i + 1, f"candidate {i} stands")
        for expected in range(3):
            wait_until(lambda: led == list(range(expected + 1)), f"{expected} leads")
            resign[expected].set()
        wait_until(lambda: elections[0].contenders() == [], "all resigned")


@test
def queue(server):
    with several(server, 2) as (producer, consumer):
        for value, priority in ((b"low", 300), (b"first", 100), (b"second", 100), (b"high", 1)):
            producer.Queue("/queue").put(value, priority)
        queue = consumer.Queue("/queue")
        equal(len(queue), 4, "length")
        equal([queue.get() for _ in range(5)], [b"high", b"first", b"second", b"low", None], "by priority, then age")


@test
def locking_queue(server):
    with several(server, 3) as (producer, one, two):
        producer.LockingQueue("/locking-queue").put_all([b"a", b"b", b"c"])
        first, second = one.LockingQueue("/locking-queue"), two.LockingQueue("/locking-queue")
        equal((first.get(5), second.get(5)), (b"a", b"b"), "two consumers, two entries")
        equal((first.consume(), second.release()), (True, True), "one consumes, one gives back")
        equal(first.get(5), b"b", "the returned entry")
        first.consume()
        equal(second.get(5), b"c", "the last")
        second.consume()
        equal(second.get(0.2), None, "empty")
        waiting = in_background(second.get, 10)
        producer.LockingQueue("/locking-queue").put(b"late")
        wait_until(lambda: waiting == [b"late"], "a waiting consumer is woken")


@test
def counter(server):
    with several(server, 4) as clients:
        counters = [client.Counter("/counter") for client in clients]

        def count(counter):
            for _ in range(25):
                counter += 1

        done = [in_background(count, counter) for counter in counters]
        wait_until(lambda: all(done), "all have counted", 30)
        equal(done, [[None]] * 4, "no error")
        equal(counters[0].value, 100, "no increment was lost")
        equal(clients[0].exists("/counter").version, 100, "a write each")


@test
def barrier(server):
    with several(server, 3) as (keeper, one, two):
        gate = keeper.Barrier("/barrier")
        gate.create()
        waiting = [in_background(client.Barrier("/barrier").wait, 15) for client in (one, two)]
        equal(one.Barrier("/barrier").wait(0.2), False, "closed")
        gate.remove()
        wait_until(lambda: waiting == [[True], [True]], "all pass")


@test
def double_barrier(server):
    with several(server, 3) as clients:
        barriers = [client.DoubleBarrier("/double-barrier", 3) for client in clients]
        entering = [in_background(barrier.enter) for barrier in barriers[:2]]
        # Two of three stand in front of it; each has made its node before it waits.
        wait_until(lambda: len(clients[2].get_children("/double-barrier")) == 2, "two wait")
        equal([b.participating for b in barriers], [False] * 3, "nobody is through")
        entering.append(in_background(barriers[2].enter))
        wait_until(lambda: all(entering) and all(b.participating for b in barriers), "all enter together")
        leaving = [in_background(barrier.leave) for barrier in barriers]
        wait_until(lambda: all(leaving), "all leave together")
        equal(clients[0].get_children("/double-barrier"), [], "nothing is left")


@test
def party(server):
    with kazoo(server) as one:
        members = one.Party("/party", "one")
        members.join()
        with kazoo(server) as two:
            other = two.Party("/party", "two")
            other.join()
            equal((sorted(members), len(members)), (["one", "two"], 2), "members")
            shallow = two.ShallowParty("/shallow-party", "two")
            shallow.join()
            equal(list(one.ShallowParty("/shallow-party")), ["two"], "shallow")
        equal(list(members), ["one"], "whose session closed has left")
        members.leave()
        equal(len(members), 0, "all left")


@test
def recipes_go_on_after_a_kill():
    with running("recipes-kill") as server, several(server, 2) as (one, two):
        members, counter, queue = one.Party("/party", "one"), one.Counter("/counter"), one.Queue("/queue")
        members.join()
        counter += 5
        queue.put(b"kept")
        semaphore = one.Semaphore("/semaphore", max_leases=1)
        semaphore.acquire()
        server.kill_and_restart()
        wait_until(lambda: one.connected and two.connected, "both are back")
        equal(list(two.Party("/party")), ["one"], "party")
        equal(two.Counter("/counter").value, 5, "counter")
        equal(two.Queue("/queue").get(), b"kept", "queue")
        equal(two.Semaphore("/semaphore", max_leases=1).acquire(blocking=False), False, "semaphore is held")
        semaphore.release()
        equal(two.Semaphore("/semaphore", max_leases=1).acquire(timeout=5), True, "and was given")

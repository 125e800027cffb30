#!/usr/bin/env python3
"""Floods a server, one kind after the other, and measures what another client notices.

    cargo build --release
    tests/flood/flood.py --binary target/release/zkserver [--rounds 5] [--only storm,watches]

Each kind has a fresh server. A *prober*, a process of its own, sends gets and sets on one
connection, one at a time, five hundred a second, and keeps their latencies. It does so first while the
server is otherwise quiet and then under the flood. Printed is a table, of medians over the rounds:
its p99 quiet and flooded, and their ratio, for gets and for sets; whether its connection lived; and
the server's resident memory at its most.

Flood, prober and server share the machine. As root the prober has real-time priority, and the flood
gets the processors only while the server does not want them, as if each had a machine of its own. What the machine still does to a process
that wakes up is measured, too: `wake` is the p99 of how late the prober wakes from a millisecond's
sleep. Where that is not far below the other figures, something else runs on the machine.
"""

import argparse
import json
import multiprocessing
import os
import queue
import resource
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

OPEN_ACL = struct.pack(">iii5si6s", 1, 31, 5, b"world", 6, b"anyone")
CREATE, GET, SET, PING, CHILDREN = 1, 4, 5, 11, 8
DELETE, EXISTS = 2, 3


def text(value):
    value = value.encode()
    return struct.pack(">i", len(value)) + value


def buffer(value):
    return struct.pack(">i", len(value)) + value


def frame(body):
    return struct.pack(">i", len(body)) + body


def request(xid, op, body=b""):
    return frame(struct.pack(">ii", xid, op) + body)


def create(xid, path, data=b"", flags=0):
    return request(xid, CREATE, text(path) + buffer(data) + OPEN_ACL + struct.pack(">i", flags))


def get(xid, path, watch=False):
    return request(xid, GET, text(path) + (b"\1" if watch else b"\0"))


def exists(xid, path, watch=False):
    return request(xid, EXISTS, text(path) + (b"\1" if watch else b"\0"))


def set_data(xid, path, data):
    return request(xid, SET, text(path) + buffer(data) + struct.pack(">i", -1))


HELLO = frame(struct.pack(">iqiq", 0, 0, 40000, 0) + buffer(bytes(16)) + b"\0")


class Client:
    """A blocking client with a session."""

    def __init__(self, port, hello=HELLO):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pending = b""
        self.socket.sendall(hello)
        self.take()

    def take(self):
        """The next frame's body."""
        while True:
            if len(self.pending) >= 4:
                size = 4 + struct.unpack_from(">i", self.pending)[0]
                if len(self.pending) >= size:
                    body, self.pending = self.pending[4:size], self.pending[size:]
                    return body
            piece = self.socket.recv(1 << 20)
            if not piece:
                raise ConnectionError("closed by the server")
            self.pending += piece

    def call(self, bytes_):
        self.socket.sendall(bytes_)
        body = self.take()
        return struct.unpack_from(">i", body, 12)[0], body


def many(port, count):
    """So many clients, begun a few hundred at a time."""
    clients = []
    while len(clients) < count:
        fresh = []
        for _ in range(min(200, count - len(clients))):
            one = Client.__new__(Client)
            one.socket = socket.create_connection(("127.0.0.1", port))
            one.pending = b""
            one.socket.sendall(HELLO)
            fresh.append(one)
        for one in fresh:
            one.take()
        clients += fresh
    return clients


class Server:
    """A server with a directory of its own."""

    def __init__(self, binary, settings, real_time=False):
        self.dir = tempfile.mkdtemp(prefix="flood-")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        config = os.path.join(self.dir, "zoo.cfg")
        pairs = {
            "dataDir": os.path.join(self.dir, "data"),
            "clientPort": self.port,
            "clientPortAddress": "127.0.0.1",
            "tickTime": 2000,
            "maxClientCnxns": 0,
            "4lw.commands.whitelist": "*",
            "admin.enableServer": "false",
        } | settings
        with open(config, "w") as out:
            out.writelines(f"{key}={value}\n" for key, value in pairs.items())
        os.mkdir(pairs["dataDir"])
        self.log = open(os.path.join(self.dir, "log"), "w")
        self.process = subprocess.Popen([binary, "--config", config], stdout=self.log, stderr=self.log,
                                        preexec_fn=ahead_of_others if real_time else None)
        for _ in range(500):
            try:
                Client(self.port).socket.close()
                return
            except OSError:
                time.sleep(0.01)
        raise SystemExit(f"the server does not serve: {self.dir}")

    def resident_mib(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            fields = dict(line.split(":", 1) for line in status)
        return int(fields["VmHWM"].split()[0]) / 1024, int(fields["VmRSS"].split()[0]) / 1024

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.dir)


def ahead_of_others():
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def prefer(prober):
    """Makes up for the one machine: elsewhere the prober would have a processor of its own, and the
    flood could not take the server's."""
    try:
        if prober:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(2))
        else:
            # Whoever else wakes up goes first, at once: a low priority alone would let the flood
            # keep the processor for the rest of its three milliseconds.
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except OSError as error:
        print(f"priorities stay as they are: {error}", file=sys.stderr)


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


def probe(port, commands, results):
    """The prober: measures for as many seconds as it is told, again and again."""
    prefer(prober=True)
    client = Client(port)
    client.call(create(1, "/probe", b"x" * 100))
    xid = 1
    results.put("ready")
    while True:
        try:
            seconds = commands.get(timeout=1)
        except queue.Empty:
            client.call(request(-2, PING))
            continue
        if seconds is None:
            return
        gets, sets, wakes, alive = [], [], [], True
        end = time.perf_counter() + seconds
        try:
            while (began := time.perf_counter()) < end:
                xid += 1
                kind, bytes_ = (sets, set_data(xid, "/probe", b"y" * 100)) if xid % 5 == 0 else (
                    gets, get(xid, "/probe"))
                code, _ = client.call(bytes_)
                assert code == 0, code
                done = time.perf_counter()
                kind.append((done - began) * 1000)
                time.sleep(0.001)
                wakes.append((time.perf_counter() - done - 0.001) * 1000)
        except ConnectionError:
            alive = False
        results.put((alive, *(
            (percentile(v, 0.5), percentile(v, 0.99), max(v)) if v else (0, 0, 0)
            for v in (gets, sets, wakes))))


# The floods. Each is a generator in a process of its own: what comes before the first yield is
# preparation, what comes after runs until the process is ended.

def connections(port):
    """10,000 connections with sessions, which ping."""
    clients = many(port, 10_000)
    yield
    while True:
        for client in clients:
            client.socket.sendall(request(-2, PING))
        for client in clients:
            client.take()
        time.sleep(1)


def pings(port):
    """100,000 pings at once, again and again, from 10 clients."""
    clients = many(port, 10)
    burst = request(-2, PING) * 10_000
    yield
    while True:
        readers = [threading.Thread(target=drain, args=(client, 20 * 10_000)) for client in clients]
        for reader in readers:
            reader.start()
        for client in clients:
            client.socket.sendall(burst)
        for reader in readers:
            reader.join()
        time.sleep(0.05)


def drain(client, bytes_):
    while bytes_ > 0:
        bytes_ -= len(client.socket.recv(1 << 20))


def deaf(port):
    """200 clients that ask for 500 KB replies and never read."""
    writer = Client(port)
    writer.call(create(1, "/deaf", b"x" * 500_000))
    clients = many(port, 200)
    yield
    for client in clients:
        client.socket.setblocking(False)
    xid = 1
    while True:
        for client in clients:
            try:
                client.socket.send(get(2, "/deaf") * 10)
            except OSError:
                pass
        xid += 1
        time.sleep(0.01)


def halves(port):
    """200 connections that hold half of a 1 MB frame open; twice a second they begin anew."""
    half = struct.pack(">i", 1_000_000) + bytes(500_000)
    yield
    while True:
        held = []
        for _ in range(200):
            client = Client(port)
            client.socket.settimeout(5)
            client.socket.sendall(half)
            held.append(client)
        time.sleep(0.5)
        for client in held:
            client.socket.close()


def values(port):
    """A client that writes and reads values of 1 MB as fast as it can."""
    client = Client(port)
    client.call(create(1, "/large"))
    data = bytes(1_000_000)
    yield
    while True:
        client.call(set_data(2, "/large", data))
        client.call(get(3, "/large"))


def storm(port):
    """Clients that connect, open a session and vanish, as fast as they can."""
    yield
    while True:
        one = socket.create_connection(("127.0.0.1", port))
        one.sendall(HELLO)
        one.recv(100)
        one.close()


def knocks(port):
    """Clients that connect and close at once, as fast as they can."""
    yield
    while True:
        socket.create_connection(("127.0.0.1", port)).close()


def watches(port):
    """100,000 events at a time: 1,000 sessions with recursive watches above 100 nodes that change."""
    writer = Client(port)
    writer.call(create(1, "/watched"))
    clients = many(port, 1000)
    recursive = struct.pack(">i", 1)
    for client in clients:
        # A persistent recursive watch fires for each change of the hundred nodes.
        client.call(request(1, 106, text("/watched") + recursive))
    for number in range(100):
        writer.call(create(2, f"/watched/{number}"))
    readers = threading.Thread(target=read_all, args=(clients,), daemon=True)
    readers.start()
    burst = b"".join(set_data(3, f"/watched/{number}", b"x") for number in range(100))
    yield
    while True:
        # 100,000 events.
        writer.socket.sendall(burst)
        for _ in range(100):
            writer.take()
        time.sleep(0.2)


def read_all(clients):
    import selectors
    selector = selectors.DefaultSelector()
    for client in clients:
        client.socket.setblocking(False)
        selector.register(client.socket, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            try:
                key.fileobj.recv(1 << 16)
            except BlockingIOError:
                pass


def fired(port):
    """10,000 sessions that watch one node with one-shot watches, set again after each change."""
    writer = Client(port)
    writer.call(create(1, "/one"))
    clients = many(port, 10_000)
    yield
    while True:
        for client in clients:
            client.socket.sendall(exists(2, "/one", True))
        for client in clients:
            client.take()
        writer.call(set_data(3, "/one", b"x"))
        for client in clients:
            client.take()


def wchp(port):
    """The word wchp in a loop, over 100,000 watches."""
    clients = many(port, 100)
    for client in clients:
        burst = b"".join(exists(n, f"/none/{n}", True) for n in range(1000))
        client.socket.sendall(burst)
        for _ in range(1000):
            client.take()
    yield
    while True:
        word(port, b"wchp")


def word(port, name):
    with socket.create_connection(("127.0.0.1", port)) as one:
        one.sendall(name)
        while one.recv(1 << 20):
            pass


def deaf_words(port):
    """wchp over 100,000 watches by 100 connections at a time that never read the answer."""
    clients = many(port, 100)
    for client in clients:
        burst = b"".join(exists(n, f"/none/{n}" + "x" * 50, True) for n in range(1000))
        client.socket.sendall(burst)
        for _ in range(1000):
            client.take()
    yield
    held = []
    while True:
        one = socket.create_connection(("127.0.0.1", port))
        one.sendall(b"wchp")
        held.append(one)
        if len(held) > 100:
            held.pop(0).close()
        time.sleep(0.01)


def children(port):
    """A node with 100,000 children, listed all the time by 4 clients."""
    writer = Client(port)
    writer.call(create(1, "/many"))
    for start in range(0, 100_000, 1000):
        burst = b"".join(create(2, f"/many/child-{n:010}") for n in range(start, start + 1000))
        writer.socket.sendall(burst)
        for _ in range(1000):
            writer.take()
    clients = many(port, 4)
    ask = request(3, CHILDREN, text("/many") + b"\0")
    yield
    while True:
        for client in clients:
            client.socket.sendall(ask)
        for client in clients:
            size = 4 + struct.unpack(">i", client.socket.recv(4, socket.MSG_WAITALL))[0]
            drain(client, size - 4)


def garbage(port):
    """Connections that send what is no request, as fast as they can."""
    yield
    while True:
        one = socket.create_connection(("127.0.0.1", port))
        one.sendall(b"\xff" * 64)
        one.close()


FLOODS = [connections, pings, deaf, halves, values, storm, knocks, garbage, watches, fired, wchp,
          deaf_words, children]


def flooder(flood, port, ready):
    prefer(prober=False)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    running = flood(port)
    next(running)
    ready.set()
    # Whoever is refused or closed tries again: that is what floods do.
    while True:
        try:
            next(running)
        except (OSError, ConnectionError) as error:
            print(f"{flood.__name__}: {error}", file=sys.stderr)
            time.sleep(0.05)
            running = flood(port)
            next(running)


def measure(binary, flood, seconds, settings, real_time):
    server = Server(binary, settings, real_time)
    context = multiprocessing.get_context("fork")
    commands, results = context.Queue(), context.Queue()
    prober = context.Process(target=probe, args=(server.port, commands, results), daemon=True)
    prober.start()
    results.get()
    commands.put(seconds)
    quiet = results.get()
    ready = context.Event()
    attacker = context.Process(target=flooder, args=(flood, server.port, ready), daemon=True)
    attacker.start()
    ready.wait()
    time.sleep(0.5)
    before = server.cpu_seconds()
    commands.put(seconds)
    flooded = results.get()
    cpu = (server.cpu_seconds() - before) / seconds
    peak, _ = server.resident_mib()
    attacker.kill()
    attacker.join()
    commands.put(None)
    lives = server.process.poll() is None
    server.stop()
    return {
        "alive": quiet[0] and flooded[0] and lives,
        "get_quiet": quiet[1][1], "get_flooded": flooded[1][1], "get_max": flooded[1][2],
        "set_quiet": quiet[2][1], "set_flooded": flooded[2][1], "set_max": flooded[2][2],
        "wake_quiet": quiet[3][1], "wake": flooded[3][1], "peak": peak, "cpu": cpu,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--only", default="")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                        help="another key of the server's configuration")
    parser.add_argument("--real-time", action="store_true",
                        help="the server goes before whatever else the machine does (needs root)")
    parser.add_argument("--json", action="store_true", help="one line for each flood instead")
    args = parser.parse_args()
    settings = dict(pair.split("=", 1) for pair in args.set)
    wanted = [name for name in args.only.split(",") if name]
    floods = [flood for flood in FLOODS if not wanted or flood.__name__ in wanted]
    if not args.json:
        print("| flood | get p99 quiet, ms | flooded | ratio | max | set p99 quiet, ms | flooded | ratio "
              "| max | wake p99 quiet, flooded | others closed | peak MiB | server CPU |")
        print("|---" * 13 + "|")
    for flood in floods:
        rounds = [measure(args.binary, flood, args.seconds, settings, args.real_time) for _ in range(args.rounds)]
        middle = {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}
        middle["alive"] = all(r["alive"] for r in rounds)
        middle["get_ratio"] = statistics.median(r["get_flooded"] / r["get_quiet"] for r in rounds)
        middle["set_ratio"] = statistics.median(r["set_flooded"] / r["set_quiet"] for r in rounds)
        if args.json:
            print(json.dumps({"flood": flood.__name__, **middle}), flush=True)
            continue
        m = middle
        print(f"| {flood.__doc__.split('.')[0].strip()} | {m['get_quiet']:.2f} | {m['get_flooded']:.2f} "
              f"| {m['get_ratio']:.1f} | {m['get_max']:.1f} | {m['set_quiet']:.2f} "
              f"| {m['set_flooded']:.2f} | {m['set_ratio']:.1f} | {m['set_max']:.1f} "
              f"| {m['wake_quiet']:.2f}, {m['wake']:.2f} | {'none' if m['alive'] else 'YES'} "
              f"| {m['peak']:.0f} | {m['cpu']:.2f} |", flush=True)


if __name__ == "__main__":
    main()

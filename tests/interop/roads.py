"""The network between the members of an ensemble: every member reaches every other over a road of its own, which a test
can block, cut and mend, one direction at a time.

    server i ──▶ road i→j ──▶ server j        one for the election port, one for the quorum port

Holds: nothing goes past the roads. A server that is told another's election address in a greeting dials that address
instead of its own configuration's; so the road puts itself in the greeting's place. What a leader begins a learner's
synchronisation with (DIFF, TRUNC, SNAP) is read on the way, whatever kinds of servers they are.
"""

import contextlib
import socket
import struct
import threading

SYNC_NAMES = {13: "DIFF", 14: "TRUNC", 15: "SNAP"}
GREETINGS = (-65536, -65535)


class Roads:
    """All roads between the servers of `ports`: sid → (quorum port, election port). `free_port` gives a port that stays
    free while nobody listens there."""

    def __init__(self, ports, free_port):
        self.blocked = {(a, b): Gate() for a in ports for b in ports if a != b}
        self.syncs = []  # (leader, learner, name), in the order in which they began
        self.lock = threading.Lock()
        self.links = []  # (dialler, dialled, its two sockets)
        self.entries = {
            (a, b, kind): Entry(free_port(), port)
            for a, b in self.blocked
            for kind, port in zip(("quorum", "election"), ports[b])
        }
        self.over = threading.Event()
        threading.Thread(target=self._follow_servers, daemon=True).start()

    def _follow_servers(self):
        """Where no server listens, nobody may be accepted: a learner takes a connection that is refused otherwise than
        one that ends."""
        while not self.over.wait(0.01):
            listening = {port: is_listening(port) for port in {entry.target for entry in self.entries.values()}}
            for (a, b, kind), entry in self.entries.items():
                if listening[entry.target] and entry.listener is None:
                    listener = entry.open()
                    threading.Thread(target=self._accept, args=(a, b, kind, entry.target, listener), daemon=True).start()
                elif not listening[entry.target]:
                    entry.close()
        for entry in self.entries.values():
            entry.close()

    def port(self, dialler, dialled, kind):
        return self.entries[dialler, dialled, kind].port

    # --- faults ---

    def block(self, sender, receiver):
        """What one sends to the other stays on the road; connections stay, and nobody is told."""
        self.blocked[sender, receiver].close()

    def part(self, some, others):
        """No byte goes between the two groups, in neither direction, and nobody is told."""
        for a in some:
            for b in others:
                self.block(a, b)
                self.block(b, a)

    def mend(self):
        """Every road is open again. What a blocked one held goes on only if its connection still lives."""
        for gate in self.blocked.values():
            gate.open()

    def close(self):
        self.over.set()
        self.mend()
        self._hang_up(set(self.blocked))

    # --- what was seen ---

    def syncs_of(self, leader, learner):
        """How this leader has begun to synchronise this learner, each time."""
        return [name for a, b, name in list(self.syncs) if (a, b) == (leader, learner)]

    # --- the traffic ---

    def _hang_up(self, pairs):
        with self.lock:
            ended = [link for link in self.links if (link[0], link[1]) in pairs]
            self.links = [link for link in self.links if link not in ended]
        for _, _, dialler, dialled in ended:
            hang_up(dialler)
            hang_up(dialled)

    def _accept(self, a, b, kind, port, listener):
        while True:
            try:
                dialler, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._link, args=(a, b, kind, port, dialler), daemon=True).start()

    def _link(self, a, b, kind, port, dialler):
        # A dial goes both ways: over a blocked road nobody arrives.
        self.blocked[a, b].wait()
        self.blocked[b, a].wait()
        try:
            dialled = socket.create_connection(("127.0.0.1", port))
        except OSError:
            hang_up(dialler)
            return
        for end in (dialler, dialled):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.lock:
            self.links.append((a, b, dialler, dialled))
        there, back = keep, keep
        if kind == "election":
            there = Greeting(self.port(b, a, "election"))
        else:
            back = Header(lambda name: self.syncs.append((b, a, name)))
        for source, sink, direction, change in ((dialler, dialled, (a, b), there), (dialled, dialler, (b, a), back)):
            gate = self.blocked[direction]
            threading.Thread(target=carry, args=(source, sink, gate, change), daemon=True).start()


class Entry:
    """Where a road begins: listens while the server at its end does."""

    def __init__(self, port, target):
        self.port, self.target = port, target
        self.listener = None

    def open(self):
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        return self.listener

    def close(self):
        listener, self.listener = self.listener, None
        if listener:
            # A thread in accept() keeps a listener that is only closed.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()


def is_listening(port):
    """Whether a server listens there; without a connection, which it would notice."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            return False
        except OSError:
            return True


class Gate:
    """Open or closed; who comes to a closed one waits."""

    def __init__(self):
        self.opened = threading.Event()
        self.opened.set()

    def open(self):
        self.opened.set()

    def close(self):
        self.opened.clear()

    def wait(self):
        self.opened.wait()


def carry(source, sink, gate, change):
    """Carries what one socket says to another until either ends."""
    with contextlib.suppress(OSError):
        while piece := source.recv(1 << 16):
            gate.wait()
            sink.sendall(change(piece))
        # The end of a conversation is news as well.
        gate.wait()
    hang_up(source)
    hang_up(sink)


def keep(piece):
    return piece


class Greeting:
    """Puts another port of 127.0.0.1 in the place of the address with which a server greets on an election connection:
    the version, the sid, the address's length, the address."""

    def __init__(self, port):
        self.address = f"127.0.0.1:{port}".encode()
        self.read = b""
        self.over = False

    def __call__(self, piece):
        if self.over:
            return piece
        self.read += piece
        if len(self.read) < 8:
            return b""
        version = struct.unpack(">q", self.read[:8])[0]
        if version in GREETINGS:
            if len(self.read) < 20 or len(self.read) < 20 + struct.unpack(">i", self.read[16:20])[0]:
                return b""
            rest = self.read[20 + struct.unpack(">i", self.read[16:20])[0] :]
            self.read = self.read[:16] + struct.pack(">i", len(self.address)) + self.address + rest
        self.over = True
        return self.read


class Header:
    """Finds the packet behind LEADERINFO in what a leader says to a learner."""

    def __init__(self, found):
        self.found = found
        self.read = b""
        self.over = False

    def __call__(self, piece):
        if not self.over:
            self.read += piece
            self._look()
        return piece

    def _look(self):
        # Each packet: its type, a zxid, a buffer, a vector of identities that nobody sends.
        at, packets = 0, 0
        while len(self.read) >= at + 16:
            kind, _, length = struct.unpack(">iqi", self.read[at : at + 16])
            if packets == 1:
                self.over = True
                if kind in SYNC_NAMES:
                    self.found(SYNC_NAMES[kind])
                return
            at += 16 + max(0, length) + 4
            packets += 1


def hang_up(end):
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()

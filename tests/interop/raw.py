"""ZooKeeper's client protocol by hand: for what no Python client can say (containers, TTL nodes, re-arming of watches,
getEphemerals) and for reading a tree exactly as the server tells it.

Requests may be pipelined: `send` several, then `receive` as often; answers come in order. Events that arrive between
them are kept in `events`. Nothing pings by itself: a session lives as long as its owner talks.
"""

import collections
import socket
import struct

CREATE, DELETE, EXISTS, GET_DATA, SET_DATA, GET_ACL, SET_ACL = 1, 2, 3, 4, 5, 6, 7
SYNC, PING, GET_CHILDREN2, CHECK, MULTI, CREATE2 = 9, 11, 12, 13, 14, 15
CREATE_CONTAINER, CREATE_TTL, CLOSE = 19, 21, -11
AUTH, SET_WATCHES, GET_EPHEMERALS, ALL_CHILDREN_NUMBER, SET_WATCHES2, ADD_WATCH = 100, 101, 103, 104, 105, 106

PERSISTENT, EPHEMERAL, SEQUENTIAL, EPHEMERAL_SEQUENTIAL, CONTAINER, TTL, TTL_SEQUENTIAL = range(7)
CREATED, DELETED, DATA_CHANGED, CHILDREN_CHANGED = 1, 2, 3, 4
NO_NODE, NO_AUTH, BAD_VERSION, NODE_EXISTS, NOT_EMPTY, SESSION_EXPIRED = -101, -102, -103, -110, -111, -112
NO_CHILDREN_FOR_EPHEMERALS, INVALID_ACL = -108, -114

READ, WRITE, CREATE_CHILD, DELETE_CHILD, ADMIN, ALL = 1, 2, 4, 8, 16, 31
OPEN = [(ALL, "world", "anyone")]

Stat = collections.namedtuple(
    "Stat",
    "czxid mzxid ctime mtime version cversion aversion ephemeral_owner data_length num_children pzxid",
)
Event = collections.namedtuple("Event", "type path zxid")
Reply = collections.namedtuple("Reply", "xid zxid error body")


class Refused(Exception):
    """The server answered a request with an error; `code` is ZooKeeper's number."""

    def __init__(self, code):
        super().__init__(f"error {code}")
        self.code = code


class SessionRefused(Exception):
    """The server does not know the session, or the password is not its own."""


# --- jute ------------------------------------------------------------------------------------------------------------


def buffer(value):
    """A length-prefixed byte string; None is length -1."""
    return struct.pack(">i", -1) if value is None else struct.pack(">i", len(value)) + value


def string(value):
    return buffer(None if value is None else value.encode())


def vector(items):
    return struct.pack(">i", len(items)) + b"".join(items)


def acl_vector(acl):
    return vector([struct.pack(">i", perms) + string(scheme) + string(name) for perms, scheme, name in acl])


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        piece = self.data[self.at : self.at + count]
        assert len(piece) == count, "the answer is too short"
        self.at += count
        return piece

    def unpack(self, form):
        values = struct.unpack(">" + form, self.take(struct.calcsize(">" + form)))
        return values[0] if len(values) == 1 else values

    def buffer(self):
        length = self.unpack("i")
        return None if length < 0 else self.take(length)

    def string(self):
        value = self.buffer()
        return None if value is None else value.decode()

    def strings(self):
        return [self.string() for _ in range(max(0, self.unpack("i")))]

    def acl(self):
        return [(self.unpack("i"), self.string(), self.string()) for _ in range(max(0, self.unpack("i")))]

    def stat(self):
        return Stat(*self.unpack("qqqqiiiqiiq"))


# --- the connection --------------------------------------------------------------------------------------------------


class Client:
    """One connection with its session: a new one, or `session=(id, password)` resumed."""

    def __init__(self, port, timeout_ms=10000, session=(0, bytes(16)), last_zxid=0):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.xid = 0
        self.last_zxid = last_zxid
        self.events = []
        self._frame(struct.pack(">iqiq", 0, last_zxid, timeout_ms, session[0]) + buffer(session[1]) + b"\0")
        answer = Reader(self._read_frame())
        _, self.timeout_ms, self.session_id = answer.unpack("iiq")
        self.password = answer.buffer()
        if self.timeout_ms <= 0 or self.session_id == 0:
            self.socket.close()
            raise SessionRefused(f"0x{session[0]:x}")

    @property
    def session(self):
        return self.session_id, self.password

    def hang_up(self):
        """Drops the connection; the session lives on until its timeout."""
        self.socket.close()

    def close(self):
        """Ends the session."""
        self.call(CLOSE, b"")
        self.socket.close()

    def send(self, op, body, xid=None):
        if xid is None:
            self.xid += 1
            xid = self.xid
        self._frame(struct.pack(">ii", xid, op) + body)

    def receive(self):
        """The next reply; events before it go to `events`."""
        while True:
            reader = Reader(self._read_frame())
            reply = Reply(*reader.unpack("iqi"), reader)
            if reply.xid != -1:
                break
            kind, _state = reader.unpack("ii")
            self.events.append(Event(kind, reader.string(), reply.zxid))
        if reply.zxid > 0:
            self.last_zxid = reply.zxid
        return reply

    def call(self, op, body, xid=None):
        """One request and its reply's body. Raises Refused on an error."""
        self.send(op, body, xid)
        reply = self.receive()
        if reply.error:
            raise Refused(reply.error)
        return reply.body

    def wait_for_events(self, count, seconds=10):
        """Returns once `count` events have come, and hands them out. Other replies are not expected meanwhile."""
        self.socket.settimeout(seconds)
        while len(self.events) < count:
            reader = Reader(self._read_frame())
            xid, zxid, _ = reader.unpack("iqi")
            assert xid == -1, f"an answer nobody asked for: xid {xid}"
            kind, _state = reader.unpack("ii")
            self.events.append(Event(kind, reader.string(), zxid))
        self.socket.settimeout(20)
        taken, self.events = self.events, []
        return taken

    def _frame(self, payload):
        self.socket.sendall(buffer(payload))

    def _read_frame(self):
        return self._read(struct.unpack(">i", self._read(4))[0])

    def _read(self, count):
        pieces = []
        while count:
            piece = self.socket.recv(min(count, 1 << 20))
            if not piece:
                raise ConnectionError("the server hung up")
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)

    # --- requests ---

    def auth(self, scheme, data):
        self.call(AUTH, struct.pack(">i", 0) + string(scheme) + buffer(data.encode()), xid=-4)

    def ping(self):
        self.call(PING, b"", xid=-2)

    def create(self, path, data=b"", flags=PERSISTENT, acl=OPEN, ttl_ms=None, op=None):
        """Answers (path, Stat), or (path, None) for the oldest opcode, which tells no Stat."""
        if op is None:
            op = CREATE_CONTAINER if flags == CONTAINER else CREATE_TTL if ttl_ms is not None else CREATE2
        self.send(op, create_body(path, data, flags, acl, ttl_ms))
        reply = self.receive()
        if reply.error:
            raise Refused(reply.error)
        return reply.body.string(), None if op == CREATE else reply.body.stat()

    def delete(self, path, version=-1):
        self.call(DELETE, string(path) + struct.pack(">i", version))

    def exists(self, path, watch=False):
        try:
            return self.call(EXISTS, string(path) + bytes([watch])).stat()
        except Refused as refused:
            if refused.code == NO_NODE:
                return None
            raise

    def get(self, path, watch=False):
        body = self.call(GET_DATA, string(path) + bytes([watch]))
        return body.buffer(), body.stat()

    def set(self, path, data, version=-1):
        return self.call(SET_DATA, string(path) + buffer(data) + struct.pack(">i", version)).stat()

    def get_acl(self, path):
        body = self.call(GET_ACL, string(path))
        return body.acl(), body.stat()

    def set_acl(self, path, acl, version=-1):
        return self.call(SET_ACL, string(path) + acl_vector(acl) + struct.pack(">i", version)).stat()

    def children(self, path, watch=False):
        body = self.call(GET_CHILDREN2, string(path) + bytes([watch]))
        return sorted(body.strings())

    def ephemerals(self, prefix="/"):
        return sorted(self.call(GET_EPHEMERALS, string(prefix)).strings())

    def all_children_number(self, path):
        return self.call(ALL_CHILDREN_NUMBER, string(path)).unpack("i")

    def sync(self, path="/"):
        self.call(SYNC, string(path))

    def add_watch(self, path, recursive):
        self.call(ADD_WATCH, string(path) + struct.pack(">i", int(recursive)))

    def set_watches(self, relative_zxid, data=(), exists=(), children=(), persistent=None, recursive=()):
        """Re-arms watches after a reconnect; with persistent ones the newer request is used."""
        lists = [data, exists, children] + ([] if persistent is None else [persistent, recursive])
        body = struct.pack(">q", relative_zxid) + b"".join(vector([string(p) for p in paths]) for paths in lists)
        self.call(SET_WATCHES if persistent is None else SET_WATCHES2, body, xid=-8)

    def multi(self, operations):
        """`operations` are (op, body). True when all were carried out; else the list of error codes."""
        parts = [struct.pack(">i?i", op, False, -1) + body for op, body in operations]
        self.send(MULTI, b"".join(parts) + struct.pack(">i?i", -1, True, -1))
        body = self.receive().body
        codes = []
        while True:
            kind, done, error = body.unpack("i?i")
            if done:
                break
            if kind == -1:
                codes.append(body.unpack("i"))
            elif kind == CREATE:
                body.string()
            elif kind in (CREATE2, CREATE_CONTAINER, CREATE_TTL):
                body.string(), body.stat()
            elif kind == SET_DATA:
                body.stat()
        return codes or True


def create_body(path, data, flags=PERSISTENT, acl=OPEN, ttl_ms=None):
    body = string(path) + buffer(data) + acl_vector(acl) + struct.pack(">i", flags)
    return body if ttl_ms is None else body + struct.pack(">q", ttl_ms)


def set_body(path, data, version=-1):
    return string(path) + buffer(data) + struct.pack(">i", version)


def delete_body(path, version=-1):
    return string(path) + struct.pack(">i", version)


check_body = delete_body  # a check is a path and the version it must have

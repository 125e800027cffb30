"""Servers, clients and waits: the ground every test of this folder stands on.

Always holds: every server listens on 127.0.0.1 only, on a port that was free a moment ago; every process started
here is ended by its id; every wait names what it waits for and has a deadline.
"""

import contextlib
import functools
import logging
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from kazoo.client import KazooClient

KIND = os.environ.get("ZKSERVER_KIND", "zkserver")  # the server under test
SUPER = "super:test"  # the administrator's digest credentials, see SUPER_DIGEST
SUPER_DIGEST = "super:D/InIHSb7yEEbrWz8b9l71RjZJU="  # base64(sha1("super:test")) as zoo.cfg wants it
# A small, quiet virtual machine that starts quickly: the suite starts dozens on two cores.
JAVA_OPTIONS = [
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    # Clients lose their connections on purpose here; their long complaints would hide the results.
    "-Dorg.slf4j.simpleLogger.log.org.apache.zookeeper.ClientCnxn=off",
    "-Djava.net.preferIPv4Stack=true",
]
TICK_MS = 500
DEFAULTS = {
    "tickTime": TICK_MS,
    "clientPortAddress": "127.0.0.1",
    "admin.enableServer": "false",
    "4lw.commands.whitelist": "*",
    "extendedTypesEnabled": "true",
    "maxClientCnxns": 0,
    "preAllocSize": 256,
    # The tests look at the files that were written.
    "autopurge.purgeInterval": 0,
    "DigestAuthenticationProvider.superDigest": SUPER_DIGEST,
}
START_LIMIT_SECONDS = 20

# kazoo reports every lost connection; here they are lost on purpose.
logging.getLogger("kazoo").setLevel(logging.CRITICAL)

_tests = []
_processes = []  # (process, owner or None)
_servers = []
_directories = []


class Skipped(Exception):
    """Raised by a test that cannot say anything here; its text is the reason."""


def test(function):
    """Marks a function as a test. A parameter `server` receives the file's shared, running server."""
    _tests.append((f"{function.__module__}.{function.__name__}", function))
    return function


def not_yet(what):
    """Marks a test of something that Apache ZooKeeper has and zkserver has not yet: it is skipped and says so."""

    def mark(function):
        @functools.wraps(function)
        def run(*arguments, **named):
            if KIND == "zkserver":
                raise Skipped(f"not in this version: {what}")
            return function(*arguments, **named)

        return run

    return mark


def take_tests():
    """The tests marked since the last call."""
    taken, _tests[:] = list(_tests), []
    return taken


# --- waits -----------------------------------------------------------------------------------------------------------


def wait_until(condition, what, seconds=10.0):
    """Polls `condition` until it answers something true, and returns that. An exception counts as 'not yet'."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        problem = None
        try:
            answer = condition()
            if answer:
                return answer
        except Exception as error:
            problem = error
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain: {what}" + (f" ({problem!r})" if problem else ""))
        pause.wait(0.02)


def equal(found, expected, what="value"):
    assert found == expected, f"{what}: expected {expected!r}, found {found!r}"


@contextlib.contextmanager
def refused(*errors):
    """The block must end with one of these exceptions."""
    try:
        yield
    except errors:
        return
    raise AssertionError(f"expected {' or '.join(e.__name__ for e in errors)}, but it went through")


# --- servers ---------------------------------------------------------------------------------------------------------


def free_port():
    """A port of 127.0.0.1 that nobody listened on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def new_directory(name):
    directory = pathlib.Path(tempfile.mkdtemp(prefix=f"zk-interop-{name}-"))
    _directories.append(directory)
    return directory


def java_command(*arguments, classes=True, jars=None):
    """The command line of a Java program that sees Apache ZooKeeper's jars and our compiled classes."""
    jars = jars or os.environ["INTEROP_JARS"]
    classpath = f"{jars}/*" + (f":{os.environ['INTEROP_CLASSES']}" if classes else "")
    return ["java", *JAVA_OPTIONS, "-cp", classpath, *arguments]


class Server:
    """A standalone server of either kind on a data directory of its own or of somebody else's.

    `kind` is 'zkserver' or 'apache'; `data_dir` lets a second server take over what a first one wrote; `settings` are
    zoo.cfg lines on top of DEFAULTS. The port stays the same over restarts, so clients find their way back.
    """

    def __init__(self, name, kind=KIND, data_dir=None, port=None, **settings):
        assert kind in ("zkserver", "apache"), kind
        self.kind = kind
        self.home = new_directory(f"{name}-{kind}")
        self.data_dir = pathlib.Path(data_dir or self.home / "data")
        self.port = port or free_port()
        self.process = None
        self.log = self.home / "server.log"
        self.settings = settings
        lines = {**DEFAULTS, "dataDir": self.data_dir, "clientPort": self.port, **settings}
        self.config = self.home / "zoo.cfg"
        self.config.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
        _servers.append(self)

    def command(self):
        if self.kind == "apache":
            # Java takes these from its command line only.
            properties = [f"-D{key}={value}" for key, value in self.settings.items() if key.startswith("znode.")]
            main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
            return java_command(*properties, main, str(self.config), classes=False)
        return [os.environ["ZKSERVER_BINARY"], "--config", str(self.config)]

    def start(self):
        """Starts the process and returns once it serves clients."""
        with self.log.open("ab") as log:
            self.process = start_process(self.command(), owner=self, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self._serving_or_dead, f"{self.kind} serves on port {self.port}", START_LIMIT_SECONDS)
        if self.process.poll() is not None:
            raise AssertionError(f"{self.kind} ended with {self.process.returncode} instead of serving:\n{self.tail()}")
        return self

    def _serving_or_dead(self):
        return self.process.poll() is not None or "Mode: standalone" in self.word("srvr")

    def ensure_running(self):
        if self.process is None or self.process.poll() is not None:
            self.start()

    def kill(self):
        """kill -9, and gone when this returns."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self):
        """A clean stop: SIGTERM, and gone when this returns."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)

    def kill_and_restart(self):
        self.kill()
        self.start()

    def word(self, word):
        """The whole answer to a four-letter word, '' while nobody listens."""
        return four_letter_word(self.port, word)

    def zxid(self):
        """The last zxid the server knows, from srvr."""
        line = next(l for l in self.word("srvr").splitlines() if l.startswith("Zxid: "))
        return int(line.split()[1], 16)

    def metric(self, key):
        """One value of mntr, as text; None where the server has no such key."""
        for line in self.word("mntr").splitlines():
            found, _, value = line.partition("\t")
            if found == key:
                return value
        return None

    def tail(self, lines=25):
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


def four_letter_word(port, word):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(word.encode())
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
            return answer.decode()
    except OSError:
        return ""


@contextlib.contextmanager
def running(name, **options):
    """A server of the test's own, running inside the block."""
    server = Server(name, **options).start()
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()


def start_process(command, owner=None, **options):
    process = subprocess.Popen(command, **options)
    _processes.append((process, owner))
    return process


def end_processes(but=None):
    """Ends, by their ids, all processes started here and still alive, except those that belong to `but`."""
    for process, owner in list(_processes):
        if owner is not None and owner is but:
            continue
        if process.poll() is None:
            process.kill()
            process.wait(10)
        _processes.remove((process, owner))
    if but is None or but not in _servers:
        _servers.clear()
    else:
        _servers[:] = [but]


def report_servers():
    """Prints the last words of the servers that the failed test may have used."""
    for server in _servers:
        if server.process is not None:
            print(f"--- {server.kind} on port {server.port}, {server.data_dir}\n{server.tail()}", flush=True)


def remove_directories():
    for directory in _directories:
        shutil.rmtree(directory, ignore_errors=True)


# --- clients ---------------------------------------------------------------------------------------------------------


def new_kazoo(server, chroot="", timeout=10.0, **options):
    """A kazoo client, not started; it reconnects quickly and for ever."""
    patient = {"max_tries": -1, "delay": 0.05, "backoff": 1.5, "max_delay": 0.5}
    options = {"connection_retry": patient, "command_retry": {**patient, "max_tries": 60}, **options}
    # The same server three times: a client waits for the answer to its connect request for its timeout divided by the
    # number of hosts, and Apache's server sometimes never answers one that it accepted while it was starting.
    hosts = ",".join([f"127.0.0.1:{server.port}"] * 3)
    return KazooClient(hosts=hosts + chroot, timeout=timeout, **options)


@contextlib.contextmanager
def kazoo(server, chroot="", **options):
    """A connected kazoo client; its session is closed when the block ends."""
    client = new_kazoo(server, chroot, **options)
    client.start(timeout=15)
    try:
        yield client
    finally:
        client.stop()
        client.close()


class Proxy:
    """A TCP road to a server that a test can cut and mend: what a network does to a client."""

    def __init__(self, server):
        self.target = server.port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.open = True
        self.pairs = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self):
        """Breaks every connection; newcomers are dropped until mend()."""
        self.open = False
        pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for end in pair:
                _hang_up(end)

    def mend(self):
        self.open = True

    def close(self):
        self.cut()
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if not self.open:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            self.pairs.append((client, server))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source, sink):
    try:
        while piece := source.recv(65536):
            sink.sendall(piece)
    except OSError:
        pass
    _hang_up(source)
    _hang_up(sink)


def _hang_up(end):
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()

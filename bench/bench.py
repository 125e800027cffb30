#!/usr/bin/env python3
"""Side-by-side measurement of ZooKeeper-compatible servers with zkload.

The first server is the reference (A); every other one gets a ratio B/A per row,
taken over pairs of runs that followed each other directly (the order within a
pair alternates). See README.md for what the rows mean.

    bench.py --peer java@3.9.5 --binary PATH/zkserver    full comparison
    bench.py --peer java@3.9.5 --quick                   a few minutes, indicative
    bench.py --peer java 'java:parallel:-Xms1g -Xmx4g -XX:+UseParallelGC'
    bench.py --server 'old=/path/old --config {cfg}' --binary new=/path/new
"""

import argparse
import json
import os
import platform
import re
import shlex
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from roads import Roads

HERE = Path(__file__).resolve().parent
TARGET = Path(os.environ.get("ZKLOAD_TARGET", HERE / "target"))
ZKLOAD = TARGET / "release/zkload"
FLOOR = TARGET / "release/floor"
RELAY = TARGET / "release/relay"
JAVA_JAR = "/usr/share/java/zookeeper.jar"  # Debian's 3.8.0
JAVA_FLAGS = "-Xms1g -Xmx4g"
JAVA_MAIN = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
LOOPBACK = "127.0.0.1"
FLOOR_NAME = "floor"
NEVER = 1_000_000_000  # as a snapCount: no snapshot within any run

PHASES = ["start", "micro", "latency", "watch", "watches", "idle", "big", "ensemble", "failover",
          "distance", "join"]
MICRO = ["get", "exists", "children", "ping", "mixed", "set", "create-delete", "multi", "connect", "create"]
# name, workload, flags: one request at a time, and a fixed load that all can carry
LATENCY = [
    ("get 1x1", "get", {"conns": 1, "window": 1}),
    ("set 1x1", "set", {"conns": 1, "window": 1}),
    ("get @5000/s", "get", {"conns": 16, "rate": 5000}),
    ("set @2000/s", "set", {"conns": 16, "rate": 2000}),
    ("mixed @5000/s", "mixed", {"conns": 16, "rate": 5000}),
]
# Milliseconds from one server to another, and who writes how; a write makes so many round trips between servers.
DISTANCES = [0, 1, 10]
DISTANT = [
    ("leader", 1, {"conns": 1, "window": 1}),
    ("follower", 2, {"conns": 1, "window": 1}),
    ("leader", 1, {"conns": 32, "window": 16}),
    ("follower", 2, {"conns": 32, "window": 16}),
]
# What a reply holds after its header: data + stat, stat, a hundred names of ten digits, nothing.
FLOOR_REPLY = {"get": 172, "exists": 68, "set": 68, "children": 4 + 100 * 14, "ping": 0, "connect": 0}


def log(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


# --- servers ---------------------------------------------------------------


class Definition:
    """How to start one kind of server: `{cfg}` and `{dir}` are filled in."""

    def __init__(self, name, command, is_java=False):
        self.name, self.command, self.is_java = name, command, is_java

    def argv(self, cfg, directory):
        return [part.replace("{cfg}", str(cfg)).replace("{dir}", str(directory)) for part in self.command]


def java_class_path(version):
    """The jars of an Apache ZooKeeper release, fetched with Maven once; Debian's jar without a version."""
    if not version:
        return JAVA_JAR
    directory = TARGET / "apache" / version
    listed = directory / "classpath"
    if not listed.exists():
        wanted = [("org.apache.zookeeper", "zookeeper", version), ("org.xerial.snappy", "snappy-java", "1.1.10.5"),
                  ("io.dropwizard.metrics", "metrics-core", "4.1.12.1"), ("org.slf4j", "slf4j-nop", "2.0.13")]
        dependencies = "".join(
            f"<dependency><groupId>{g}</groupId><artifactId>{a}</artifactId><version>{v}</version></dependency>" for g, a, v in wanted
        )
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "pom.xml").write_text(
            "<project><modelVersion>4.0.0</modelVersion><groupId>x</groupId><artifactId>x</artifactId>"
            f"<version>1</version><dependencies>{dependencies}</dependencies></project>"
        )
        maven = ["mvn", "-q", "-B", "dependency:build-classpath", f"-Dmdep.outputFile={listed}"]
        subprocess.run(maven, cwd=directory, check=True, stdout=subprocess.DEVNULL)
    return listed.read_text().strip()


def java_definition(spec):
    """`java`, `java@3.9.5`, `java@3.9.5:NAME` or `java@3.9.5:NAME:FLAGS`."""
    parts = spec.split(":", 2)
    kind, _, version = parts[0].partition("@")
    if kind != "java":
        raise SystemExit(f"--peer: only java is built in, not {parts[0]!r}")
    name = parts[1] if len(parts) > 1 else parts[0]
    flags = parts[2] if len(parts) > 2 else JAVA_FLAGS
    return Definition(name, ["java", *shlex.split(flags), "-cp", java_class_path(version), JAVA_MAIN, "{cfg}"], is_java=True)


def binary_definition(spec):
    name, _, path = spec.rpartition("=")
    return Definition(name or Path(path).name, [str(Path(path).resolve()), "--config", "{cfg}"])


def server_definition(spec):
    name, found, command = spec.partition("=")
    if not found:
        raise SystemExit("--server wants NAME=COMMAND with {cfg} in it")
    return Definition(name, shlex.split(command))


class Node:
    """One server process (group), its configuration and its data."""

    def __init__(self, definition, directory, client_port, quorum=None, my_id=1, extra=()):
        self.definition, self.dir, self.port, self.my_id = definition, Path(directory), client_port, my_id
        self.cfg = self.dir / "zoo.cfg"
        self.data = self.dir / "data"
        self.process = None
        self.quorum = quorum or []
        self.write_config(extra)

    def write_config(self, extra=()):
        self.data.mkdir(parents=True, exist_ok=True)
        settings = {
            "tickTime": 2000,
            "initLimit": 10,
            "syncLimit": 5,
            "dataDir": self.data,
            "clientPort": self.port,
            "clientPortAddress": LOOPBACK,
            "maxClientCnxns": 0,
            "snapCount": 100000,
            "forceSync": "yes",
            "admin.enableServer": "false",
            "4lw.commands.whitelist": "*",
        }
        settings.update(extra)
        lines = [f"{key}={value}" for key, value in settings.items()] + self.quorum
        self.cfg.write_text("\n".join(lines) + "\n")
        if self.quorum:
            (self.data / "myid").write_text(f"{self.my_id}\n")

    @property
    def host(self):
        return f"{LOOPBACK}:{self.port}"

    def start(self):
        output = open(self.dir / "output.log", "ab")
        argv = self.definition.argv(self.cfg, self.dir)
        self.process = subprocess.Popen(
            argv, cwd=self.dir, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        output.close()

    def pids(self):
        """Every live process of the node's group (a wrapper script may have children)."""
        if self.process is None:
            return []
        group = self.process.pid
        found = []
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                try:
                    if os.getpgid(int(entry.name)) == group:
                        found.append(int(entry.name))
                except ProcessLookupError:
                    pass
        return found

    def signal(self, number):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def kill9(self):
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def stop(self):
        if self.process is None:
            return
        self.signal(signal.Signals["SIG" + OPTIONS.stop_signal])
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            log(f"{self.definition.name} ignores its stop signal; killing it")
        self.kill9()

    def reap(self):
        """Forget a process that somebody else killed."""
        if self.process is not None:
            self.process.wait(10)
            self.process = None

    def check_alive(self):
        if self.process is not None and self.process.poll() is not None:
            tail = (self.dir / "output.log").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{self.definition.name} exited with {self.process.returncode}:\n{tail}")

    def wait_serving(self, path="/", limit=120.0, every=0.02):
        """Waits until a session can read `path`, trying `every` so many seconds. Attempts overlap,
        for a server that is starting may accept a connection and then leave it without an answer."""
        deadline = time.monotonic() + limit
        served = threading.Event()
        slots = threading.Semaphore(64)

        def attempt():
            if can_read(self.port, path):
                served.set()
            slots.release()

        while not served.wait(every):
            self.check_alive()
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.definition.name} on port {self.port} does not serve {path}")
            if slots.acquire(blocking=False):
                threading.Thread(target=attempt, daemon=True).start()

    def mode(self):
        found = re.search(r"^Mode: (\S+)", four_letter_word(self.port, "srvr"), re.M)
        return found.group(1) if found else None

    def zxid(self):
        found = re.search(r"^Zxid: 0x([0-9a-f]+)", four_letter_word(self.port, "srvr"), re.M)
        return int(found.group(1), 16) if found else None

    def memory_kb(self, what="RSS"):
        """RSS, PSS or PEAK (of RSS), summed over the processes."""
        file, key = {"RSS": ("status", "VmRSS"), "PEAK": ("status", "VmHWM"), "PSS": ("smaps_rollup", "Pss")}[what]
        total = 0
        for pid in self.pids():
            try:
                found = re.search(rf"^{key}:\s+(\d+)", Path(f"/proc/{pid}/{file}").read_text(), re.M)
                total += int(found.group(1)) if found else 0
            except (FileNotFoundError, ProcessLookupError):
                pass
        return total

    def live_heap_bytes(self):
        """Java only: what survives a full collection."""
        if not self.definition.is_java or shutil.which("jcmd") is None:
            return None
        pid = str(self.process.pid)
        subprocess.run(["jcmd", pid, "GC.run"], capture_output=True, timeout=120)
        text = subprocess.run(["jcmd", pid, "GC.heap_info"], capture_output=True, text=True, timeout=60).stdout
        used = re.findall(r"^\s*(?:garbage-first heap|PSYoungGen|ParOldGen|def new generation|tenured generation)"
                          r"\s+total \d+K, used (\d+)K", text, re.M)
        return sum(int(kb) for kb in used) * 1024 if used else None

    def reset_peak(self):
        """From now on PEAK is that of what comes."""
        for pid in self.pids():
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def received_from(self, port):
        """Bytes that came over this node's connection to a port of loopback; None without `ss`."""
        if shutil.which("ss") is None:
            return None
        text = subprocess.run(["ss", "-tinpHO", f"dport = :{port}"], capture_output=True, text=True).stdout
        own = [line for line in text.splitlines() if any(f"pid={pid}," in line for pid in self.pids())]
        return sum(int(n) for line in own for n in re.findall(r"bytes_received:(\d+)", line))

    def snapshots(self):
        names = [p.name for p in self.data.rglob("snapshot*") if p.is_file()]
        return set(names)


class Cluster:
    """A standalone node or an ensemble, in a fresh directory. `started` nodes are started with it, all without; with
    `distant` there is a relay between them."""

    def __init__(self, options, definition, index, size=1, extra=(), started=None, distant=False):
        self.definition = definition
        self.dir = options.dir / f"{definition.name}-{size}-{time.monotonic_ns():x}"
        self.started = started
        self.roads = None
        first = options.quorum_port + 20 * index
        ports = {i + 1: (first + i, first + 10 + i) for i in range(size)}
        if distant:
            self.roads = Roads(RELAY, ports, first + 100)
        self.quorum_ports = {sid: quorum for sid, (quorum, _) in ports.items()}
        everybody = [f"server.{sid}={LOOPBACK}:{quorum}:{election}" for sid, (quorum, election) in ports.items()]
        first = options.port + (index if size == 1 else 10 + 10 * index)
        self.nodes = []
        for i in range(size):
            lines = [] if size == 1 else self.roads.server_lines(i + 1) if distant else everybody
            self.nodes.append(Node(definition, self.dir / str(i + 1), first + i, lines, i + 1, extra))

    def __enter__(self):
        LIVE.append(self)
        try:
            for node in self.nodes[: self.started]:
                node.start()
            for node in self.nodes[: self.started]:
                node.wait_serving()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        LIVE.remove(self)
        if not OPTIONS.keep_data:
            shutil.rmtree(self.dir, ignore_errors=True)

    def stop(self):
        for node in self.nodes:
            node.stop()
        if self.roads:
            self.roads.close()

    @property
    def hosts(self):
        return ",".join(node.host for node in self.nodes)

    def pids(self):
        return [pid for node in self.nodes for pid in node.pids()]

    def leader(self, limit=30.0):
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            for node in self.nodes:
                if node.process is not None and node.mode() == "leader":
                    return node
            time.sleep(0.1)
        raise RuntimeError(f"{self.definition.name}: no leader")

    def memory_kb(self, what="RSS"):
        return sum(node.memory_kb(what) for node in self.nodes)


LIVE = []
OPTIONS = None


# --- a very small client ----------------------------------------------------


def read_exactly(sock, count):
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            raise ConnectionError("closed")
        data += part
    return data


def read_frame(sock):
    return read_exactly(sock, struct.unpack(">i", read_exactly(sock, 4))[0])


def can_read(port, path, limit=1.0):
    """Whether a new session on this port can read `path`, with `limit` seconds per step."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=limit) as sock:
            hello = struct.pack(">iqiqi16s?", 0, 0, 10000, 0, 16, b"", False)
            sock.sendall(struct.pack(">i", len(hello)) + hello)
            if struct.unpack(">i", read_frame(sock)[4:8])[0] <= 0:
                return False
            name = path.encode()
            ask = struct.pack(f">iii{len(name)}s?", 1, 4, len(name), name, False)
            close = struct.pack(">ii", 2, -11)
            sock.sendall(struct.pack(">i", len(ask)) + ask + struct.pack(">i", len(close)) + close)
            return struct.unpack(">i", read_frame(sock)[12:16])[0] == 0
    except (OSError, struct.error):
        return False


def four_letter_word(port, word):
    try:
        with socket.create_connection((LOOPBACK, port), timeout=5) as sock:
            sock.sendall(word.encode())
            data = b""
            while part := sock.recv(65536):
                data += part
            return data.decode(errors="replace")
    except OSError:
        return ""


# --- measuring ---------------------------------------------------------------


def machine_busy_cores(interval=0.3):
    def busy():
        fields = [int(n) for n in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return sum(fields) - fields[3] - fields[4]

    before = busy()
    time.sleep(interval)
    return (busy() - before) / 100 / interval


def wait_for_quiet(limit):
    """Waits, at most `limit` seconds, until others leave the machine alone."""
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline and machine_busy_cores() > 0.25:
        time.sleep(0.5)


def zkload_command(workload, hosts, pids, flags):
    argv = [str(ZKLOAD), workload, "--hosts", hosts]
    if pids:
        argv += ["--pids", ",".join(map(str, pids))]
    for key, value in flags.items():
        argv += [f"--{key.replace('_', '-')}", str(value)]
    return argv


def zkload(workload, hosts, pids=(), limit=600, check=True, **flags):
    """Runs zkload and gives back its result line."""
    argv = zkload_command(workload, hosts, pids, flags)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=limit)
    if done.returncode == 2 or not done.stdout.strip():
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")
    result = json.loads(done.stdout)
    if done.returncode != 0 and check:
        log(f"WARNING {workload}: errors {result.get('error_codes')} {done.stdout.strip()}")
    result["exit_status"] = done.returncode
    return result


def zkload_in_stages(workload, hosts, pids, measure, limit=600, **flags):
    """Like zkload, of a workload with stages: also gives back what `measure` said at each of them."""
    argv = zkload_command(workload, hosts, pids, {**flags, "stages": "true"})
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    watchdog = threading.Timer(limit, process.kill)
    watchdog.start()
    measured, result = [], None
    try:
        for line in process.stdout:
            if line.startswith("stage "):
                measured.append(measure())
                process.stdin.write("\n")
                process.stdin.flush()
            else:
                result = json.loads(line)
    finally:
        watchdog.cancel()
        process.kill()
        status = process.wait()
    if result is None:
        raise RuntimeError(f"{' '.join(argv)} ended with {status}")
    return result, measured


class Results:
    """Values by row, server and round; values of one round make a pair."""

    def __init__(self, servers):
        self.servers = servers
        self.rows = {}  # (row, unit, better) -> {server: {round: value}}
        self.round = None
        self.raw = []
        self.warnings = []

    def put(self, row, unit, better, server, value):
        values = self.rows.setdefault((row, unit, better), {}).setdefault(server, {})
        if value is not None:
            values[self.round] = value

    def warn(self, text):
        log(f"WARNING {text}")
        self.warnings.append(text)

    def load(self, row, server, result, latency=True, rate=True):
        """Stores what one zkload result says."""
        self.raw.append({"row": row, "server": server, "round": self.round, **result})
        if rate:
            self.put(f"{row}: ops", "1/s", "+", server, result["ops_per_s"])
        if latency:
            for key, name in [("p50", "p50"), ("p99", "p99"), ("p999", "p99.9")]:
                self.put(f"{row}: {name}", "us", "-", server, result["lat_us"][key])
        if "server_us_per_op" in result:
            self.put(f"{row}: server CPU/op", "us", "-", server, result["server_us_per_op"])
            self.put(f"{row}: cores server", "", "", server, result["server_cores"])
            self.put(f"{row}: cores client", "", "", server, result["client_cores"])
            self.put(f"{row}: cores others", "", "", server, result["other_cores"])
        if result.get("errors"):
            self.warn(f"{row} on {server}: {result['errors']} errors {result.get('error_codes', '')}")

    def ratios(self):
        """Which columns are compared: everybody with the first server, and with the floor."""
        first, others = self.servers[0], [name for name in self.servers[1:] if name != FLOOR_NAME]
        pairs = [(name, first) for name in others]
        if FLOOR_NAME in self.servers:
            pairs += [(name, FLOOR_NAME) for name in [first, *others]]
        return pairs

    def table(self, show_cores):
        pairs = self.ratios()
        head = ["row", "unit"] + self.servers + [f"{name}/{base}" for name, base in pairs]
        lines = ["| " + " | ".join(head) + " |", "|" + "---|" * 2 + "---:|" * (len(head) - 2)]
        for (row, unit, better), values in self.rows.items():
            if ": cores " in row and not show_cores:
                continue
            arrow = {"+": " (more is better)", "-": "", "": ""}[better]
            cells = [row + arrow, unit]
            cells += [spread(list(values.get(name, {}).values())) for name in self.servers]
            for name, reference in pairs:
                base = values.get(reference, {})
                cells.append(spread([b / base[key] for key, b in values.get(name, {}).items() if base.get(key)]))
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def as_json(self):
        rows = [
            {"row": row, "unit": unit, "better": better,
             "values": {server: [{"round": key, "value": value} for key, value in by_round.items()]
                        for server, by_round in values.items()}}
            for (row, unit, better), values in self.rows.items()
        ]
        return {"facts": machine_facts(), "servers": self.servers, "rows": rows, "warnings": self.warnings,
                "raw": self.raw}


def number(value):
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.3g}"


def spread(values):
    if not values:
        return ""
    middle = number(statistics.median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({number(min(values))}–{number(max(values))})"


def machine_facts():
    model = re.search(r"^model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(), re.M)
    memory = re.search(r"^MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text(), re.M)
    java = subprocess.run(["java", "-version"], capture_output=True, text=True).stderr.splitlines()
    return {
        "cpu": model.group(1) if model else "?",
        "cores": os.cpu_count(),
        "memory_gib": round(int(memory.group(1)) / 2**20, 1) if memory else None,
        "kernel": platform.release(),
        "java": java[1] if len(java) > 1 else None,
        "load_average": os.getloadavg(),
        "time": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
    }


class Bench:
    def __init__(self, options, definitions):
        self.options = options
        self.definitions = definitions
        self.results = Results([d.name for d in definitions] + ([FLOOR_NAME] if options.floor else []))

    def alone(self, phase, size, run, rounds=None, **how):
        """Runs `run(cluster)` for every server and round, on a fresh cluster each time."""
        servers = list(enumerate(self.definitions))
        for r in range(rounds or self.options.heavy_rounds):
            for index, definition in servers if r % 2 == 0 else servers[::-1]:
                self.results.round = str(r)
                try:
                    with Cluster(self.options, definition, index, size, **how) as cluster:
                        run(cluster)
                except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
                    self.results.warn(f"{phase} on {definition.name} failed: {error}")

    def run_load(self, row, workload, cluster, store=True, hosts=None, **flags):
        """One measured run, with the server's transaction counter checked; None if it failed."""
        o = self.options
        name = cluster.definition.name
        flags = {"seconds": o.seconds, "warmup": o.warmup, **flags}
        standalone = len(cluster.nodes) == 1
        for attempt in range(o.retries + 1 if store else 1):
            if store:
                wait_for_quiet(o.quiet_wait)
            if attempt:
                log(f"{row}: disturbed ({result['other_cores']:.2f} cores), again")
            before = cluster.nodes[0].zxid() if standalone else None
            snapshots = cluster.nodes[0].snapshots()
            try:
                result = zkload(workload, hosts or cluster.hosts, cluster.pids(), **flags)
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                self.results.warn(f"{row} on {name} failed: {error}")
                return None
            result["snapshots_taken"] = len(cluster.nodes[0].snapshots() - snapshots)
            after = cluster.nodes[0].zxid() if standalone else None
            # An attempt of wait_serving may still be closing its session while a warm-up runs.
            if store and before is not None and after is not None and after - before != result["total_txns"]:
                self.results.warn(f"{row} on {name}: zxid grew by {after - before}, "
                                  f"the client counted {result['total_txns']} transactions")
            if result.get("other_cores", 0) <= o.max_other:
                break
        if store:
            self.results.load(row, name, result)
            log(f"{row:16} {name:12} {result['ops_per_s']:>10,.0f}/s p99 {result['lat_us']['p99']:>8,.0f} us  "
                f"{result.get('server_us_per_op') or 0:>7.2f} us CPU/op  others {result.get('other_cores', 0):.2f}")
        return result

    # Standalone servers stay up side by side; only the measured one has work to do.
    # They are started afresh several times: no two JVMs compile the same code alike.
    def standalone(self, wanted):
        for start in range(self.options.starts):
            clusters = []
            try:
                for index, definition in enumerate(self.definitions):
                    clusters.append(Cluster(self.options, definition, index).__enter__())
                self.standalone_rounds(wanted, clusters, start)
            finally:
                for cluster in clusters:
                    cluster.__exit__()

    def standalone_rounds(self, wanted, clusters, start):
        o = self.options
        loads = []
        if "micro" in wanted:
            for name in o.workloads:
                flags = {"conns": o.conns, "window": o.window}
                if name == "create":  # keep the trees small and alike
                    flags["cleanup"] = "true"
                loads.append((name, name, flags))
        if "latency" in wanted:
            loads += LATENCY[: o.latency_rows]
        if "watch" in wanted:
            for mode in ("oneshot", "persistent"):
                flags = {"conns": o.watchers, "watch-mode": mode}
                loads.append((f"watch {mode} x{o.watchers}", "watch-fanout", flags))
        for row, workload, flags in loads:  # unmeasured: class loading, compilation
            for cluster in clusters:
                self.run_load(row, workload, cluster, False, **{**flags, "seconds": o.heat, "warmup": 0.05})
        rounds = max(1, round(o.rounds / o.starts))
        for r in range(rounds):
            for row, workload, flags in loads:
                self.results.round = f"{start}.{r}"
                for cluster in clusters if (start + r) % 2 == 0 else clusters[::-1]:
                    result = self.run_load(row, workload, cluster, **flags)
                    if result and result.get("surplus_notifications"):
                        self.results.warn(f"{row}: {result['surplus_notifications']} surplus notifications")
                if o.floor:
                    self.floor_load(row, workload, flags)
        for cluster in clusters:
            peak = cluster.memory_kb("PEAK") / 1e3
            self.results.put("standalone: peak RSS", "MB", "-", cluster.definition.name, peak)

    def floor_load(self, row, workload, flags):
        if workload not in FLOOR_REPLY:
            return
        o = self.options
        argv = [str(FLOOR), "--port", str(o.port + 9), "--reply", str(FLOOR_REPLY[workload])]
        log_file = o.dir / "floor.log"
        if workload == "set":
            argv += ["--log", str(log_file)]
        process = subprocess.Popen(argv)
        try:
            while not can_read(o.port + 9, "/"):
                time.sleep(0.01)
            flags = {"seconds": o.seconds, "warmup": o.warmup, **flags}
            result = zkload(workload, f"{LOOPBACK}:{o.port + 9}", [process.pid], **flags)
            self.results.load(row, FLOOR_NAME, result)
        finally:
            process.kill()
            process.wait()
            log_file.unlink(missing_ok=True)

    def starts(self):
        """From the start of the process, on an empty directory, to the first answer to a session's read."""
        servers = list(enumerate(self.definitions))
        for r in range(self.options.start_rounds):
            for index, definition in servers if r % 2 == 0 else servers[::-1]:
                self.results.round = str(r)
                cluster = Cluster(self.options, definition, index)
                LIVE.append(cluster)
                try:
                    wait_for_quiet(self.options.quiet_wait)
                    begin = time.monotonic()
                    cluster.nodes[0].start()
                    cluster.nodes[0].wait_serving(every=0.001)
                    took = time.monotonic() - begin
                    self.results.put("start on an empty directory: first answer", "ms", "-", definition.name, took * 1e3)
                except RuntimeError as error:
                    self.results.warn(f"start of {definition.name} failed: {error}")
                finally:
                    cluster.__exit__()

    def watches(self, cluster, distinct):
        """Every session watches the same nodes, or each its own; then all of them are set once."""
        o = self.options
        count = o.watch_sessions * o.watch_nodes
        row = f"{count:,} watches on {count if distinct else o.watch_nodes:,} nodes"
        name = cluster.definition.name
        node = cluster.nodes[0]
        put = self.results.put
        flags = {"conns": o.watch_sessions, "nodes": o.watch_nodes, "window": 256}
        if distinct:
            # A write for every event: a tenth of them is enough, and long enough.
            flags |= {"distinct": "true", "fire": max(1, o.watch_nodes // 10)}
        wait_for_quiet(o.quiet_wait)
        result, (before, after) = zkload_in_stages(
            "watches", cluster.hosts, cluster.pids(), lambda: (node.memory_kb() * 1024, node.live_heap_bytes()), **flags
        )
        self.results.load(row, name, result)
        put(f"{row}: bytes/watch (RSS growth)", "B", "-", name, (after[0] - before[0]) / count)
        if after[1] is not None:
            put(f"{row}: bytes/watch (live heap, Java)", "B", "-", name, (after[1] - before[1]) / count)
        for what in ("out_of_order", "surplus_notifications"):
            put(f"{row}: events {what.split('_notif')[0].replace('_', ' ')}", "", "-", name, result[what])
            if result[what]:
                self.results.warn(f"{row} on {name}: {result[what]} events {what}")
        log(f"{row} {name}: {(after[0] - before[0]) / count:.0f} B each, {result['ops_per_s']:,.0f} events/s")

    def idle(self, cluster):
        o = self.options
        row = f"idle x{o.sessions}"
        name = cluster.definition.name
        put = self.results.put
        empty = cluster.memory_kb()
        result = zkload("idle", cluster.hosts, cluster.pids(), conns=o.sessions, seconds=o.idle_seconds, warmup=1)
        self.results.load(row, name, result, rate=False)
        put(f"{row}: RSS", "MB", "-", name, result["rss_kb"] / 1e3)
        put(f"{row}: RSS of a fresh server", "MB", "-", name, empty / 1e3)
        put(f"{row}: RSS growth per session", "KB", "-", name, (result["rss_kb"] - empty) / o.sessions)
        put(f"{row}: server cores", "", "-", name, result["server_cores"])
        put(f"{row}: sessions opened", "1/s", "+", name, o.sessions / result["open_seconds"])
        log(f"{row} {name}: {result['rss_kb'] / 1e3:.0f} MB")

    def big(self, cluster):
        """A large tree: memory, recovery, and writes while snapshots are taken."""
        o = self.options
        n = o.znodes
        row = f"{n:,} znodes"
        last = f"/zkload/tree/{(n - 1) // 1000:010}/{n - 1:010}"
        tree = {"count": n, "size": 100, "conns": 8, "window": 64}
        put = self.results.put
        name = cluster.definition.name
        node = cluster.nodes[0]

        zkload("ping", cluster.hosts, seconds=0.5)
        empty = node.memory_kb()
        empty_heap = node.live_heap_bytes()
        wait_for_quiet(o.quiet_wait)
        result = zkload("populate", cluster.hosts, cluster.pids(), **tree)
        if not result["complete"]:
            self.results.warn(f"{row}: populate on {name} is incomplete")
        self.results.load(f"{row}: populate", name, result, latency=False)
        put(f"{row}: RSS after populate", "MB", "-", name, node.memory_kb() / 1e3)
        put(f"{row}: bytes/znode (RSS growth)", "B", "-", name, (node.memory_kb() - empty) * 1024 / n)
        heap = node.live_heap_bytes()
        if heap is not None:
            put(f"{row}: bytes/znode (live heap, Java)", "B", "-", name, (heap - empty_heap) / n)

        for how, end in [("kill -9", node.kill9), ("clean stop", node.stop)]:
            end()
            wait_for_quiet(o.quiet_wait)
            begin = time.monotonic()
            node.start()
            node.wait_serving(last)
            took = time.monotonic() - begin
            put(f"{row}: recovery after {how}", "s", "-", name, took)
            log(f"{row}: {name} serves {took:.2f} s after {how}")
        put(f"{row}: RSS after restart", "MB", "-", name, node.memory_kb() / 1e3)
        put(f"{row}: bytes/znode (RSS growth, restarted)", "B", "-", name, (node.memory_kb() - empty) * 1024 / n)
        check = zkload("verify", cluster.hosts, check=False, **tree)
        put(f"{row}: lost after restarts", "", "-", name, check["lost"])
        if check["lost"]:
            self.results.warn(f"{row}: {name} lost {check['lost']} znodes")

        # The same writes twice: a server that never takes a snapshot, and one that takes many.
        undisturbed = {}
        for when, snap_count in [("without snapshots", NEVER), ("while snapshotting", o.snap_count)]:
            node.stop()
            node.write_config({"snapCount": snap_count})
            node.start()
            node.wait_serving(last)
            self.run_load("", "set", cluster, False, seconds=o.heat, warmup=0.1)
            for kind, flags in [("closed loop", {}), (f"@{o.snap_rate}/s", {"rate": o.snap_rate, "conns": 16})]:
                snap_row = f"set {when} {kind}"
                flags = {"conns": 8, "window": 16, "seconds": o.snap_seconds, **flags}
                result = self.run_load(snap_row, "set", cluster, **flags)
                if not result:
                    continue
                put(f"{snap_row}: max", "us", "-", name, result["lat_us"]["max"])
                put(f"{snap_row}: snapshots taken", "", "", name, result["snapshots_taken"])
                if snap_count == NEVER:
                    undisturbed[kind] = result["lat_us"]["p999"]
                elif kind in undisturbed:
                    times = result["lat_us"]["p999"] / undisturbed[kind]
                    put(f"{snap_row}: p99.9 over that without snapshots", "x", "-", name, times)

    def ensemble(self, cluster):
        o = self.options
        name = cluster.definition.name
        cluster.leader()
        if "ensemble" in o.only:
            spread_out = {"conns": 12, "window": o.window}
            loads = [("3 nodes get", "get", spread_out), ("3 nodes set", "set", spread_out),
                     ("3 nodes mixed", "mixed", spread_out),
                     # one connection per node: a lone writer can stall in ZooKeeper 3.6 to 3.8.0 (ZOOKEEPER-4537)
                     ("3 nodes set 3x1", "set", {"conns": 3, "window": 1})]
            for row, workload, flags in loads:
                self.run_load(row, workload, cluster, False, **{**flags, "seconds": o.heat * 2, "warmup": 0.05})
            for row, workload, flags in loads:
                self.run_load(row, workload, cluster, **flags)
            for what in ("RSS", "PSS"):
                self.results.put(f"3 nodes: {what} sum", "MB", "-", name, cluster.memory_kb(what) / 1e3)
        if "failover" in o.only:
            before = self.results.round
            for kill in range(o.kills):
                self.results.round = f"{before}.{kill}"
                self.failover(cluster)

    def failover(self, cluster):
        o = self.options
        name = cluster.definition.name
        put = self.results.put
        ledger = cluster.dir / "ledger"
        victim = cluster.leader()
        result = zkload("failover", cluster.hosts, conns=16, rate=1000, seconds=o.failover_seconds,
                        kill_pid=-victim.process.pid, kill_at=2, ledger=ledger, limit=300, check=False)
        victim.reap()
        self.results.raw.append({"row": "failover", "server": name, "round": self.results.round, **result})
        put("leader kill -9: first acknowledged write", "ms", "-", name, result["recovery_ms"])
        put("leader kill -9: all 16 clients write again", "ms", "-", name, result["all_clients_ms"])
        put("leader kill -9: expired sessions", "", "-", name, result["expired_sessions"])
        if result["errors"]:
            self.results.warn(f"failover on {name}: {result['error_codes']}")
        begin = time.monotonic()
        victim.start()
        victim.wait_serving()
        put("killed node serves again", "s", "-", name, time.monotonic() - begin)
        lost = result["lost"]
        for node in cluster.nodes:
            lost += zkload("verify", node.host, ledger=ledger, check=False)["lost"]
        put("leader kill -9: acknowledged writes lost", "", "-", name, lost)
        if lost:
            self.results.warn(f"failover on {name}: {lost} acknowledged writes lost")
        log(f"failover {name}: {result['recovery_ms']} ms, all clients {result['all_clients_ms']} ms, lost {lost}")

    def distance(self, cluster):
        """Writes at the leader and at a follower, the nearer and farther the servers are to each other."""
        o = self.options
        name = cluster.definition.name
        put = self.results.put
        leader = cluster.leader()
        hosts = {"leader": leader.host, "follower": next(node.host for node in cluster.nodes if node is not leader)}
        for where, _, flags in DISTANT:
            zkload("set", hosts[where], seconds=o.heat, warmup=0.05, **flags)
        for ms in DISTANCES:
            cluster.roads.set_delay(ms)
            for where, trips, flags in DISTANT:
                wait_for_quiet(o.quiet_wait)
                writers, in_flight = flags["conns"], flags["conns"] * flags["window"]
                row = f"{ms} ms apart: set at {'the leader' if where == 'leader' else 'a follower'}"
                # Few are done when each takes long.
                seconds = o.seconds * (2 if in_flight == 1 else 1)
                result = zkload("set", hosts[where], cluster.pids(), seconds=seconds, warmup=o.warmup, **flags)
                self.results.raw.append({"row": f"{row} x{in_flight}", "server": name, "round": self.results.round, **result})
                if result.get("errors"):
                    self.results.warn(f"{row} on {name}: {result['errors']} errors {result.get('error_codes', '')}")
                floor_ms = trips * 2 * ms
                p50, p99 = (result["lat_us"][key] / 1e3 for key in ("p50", "p99"))
                if in_flight == 1:
                    row += ", one in flight"
                    put(f"{row}: p50", "ms", "-", name, p50)
                    put(f"{row}: p99", "ms", "-", name, p99)
                    if ms:
                        put(f"{row}: p50 beyond the {floor_ms} ms on the way", "ms", "-", name, p50 - floor_ms)
                else:
                    row += f", {writers} writers x {flags['window']} in flight"
                    put(f"{row}: throughput", "1/s", "+", name, result["ops_per_s"])
                    if ms:
                        most = in_flight * 1e3 / floor_ms
                        put(f"{row}: of the {most:,.0f}/s that fit on the way", "x", "+", name, result["ops_per_s"] / most)
                log(f"{row} {name}: p50 {p50:.2f} ms, p99 {p99:.2f} ms, {result['ops_per_s']:,.0f}/s")

    def join(self, cluster):
        """A third server comes to two that hold a large tree: empty, and again with its data, after a short absence
        and after one so long that it is sent the tree once more."""
        o = self.options
        n = o.join_znodes
        name = cluster.definition.name
        joiner = cluster.nodes[2]
        leader = cluster.leader()
        hosts = ",".join(node.host for node in cluster.nodes[:2])
        trees = []
        many = n // 15
        for what, count, size, how in [("tree", n, 100, f"empty, {n:,} znodes"),
                                       ("few", o.join_missed, 100, f"kill -9, {o.join_missed:,} writes of 100 B missed"),
                                       ("many", many, 2000, f"kill -9, {many:,} writes of 2,000 B missed")]:
            joiner.kill9()
            wait_for_quiet(o.quiet_wait)
            tree = {"name": what, "count": count, "size": size, "conns": 8, "window": 64, "limit": 3600}
            populated = zkload("populate", hosts, **tree)
            if not populated["complete"]:
                self.results.warn(f"join: populate on {name} is incomplete")
            log(f"join: {name} has {count:,} more znodes, {populated['ops_per_s']:,.0f}/s")
            trees.append(tree)
            self.joins(how, cluster, leader, joiner, f"/zkload/{what}/{(count - 1) // 1000:010}/{count - 1:010}")
        for tree in trees:
            lost = zkload("verify", joiner.host, check=False, **tree)["lost"]
            if lost:
                self.results.warn(f"join: {lost} znodes of {tree['name']} are missing on {name}'s third server")

    def joins(self, how, cluster, leader, joiner, last):
        """From the start of the joining process to a session there that reads the `last` node written."""
        name = cluster.definition.name
        put = self.results.put
        row = f"third server joins ({how})"
        wait_for_quiet(self.options.quiet_wait)
        before = leader.memory_kb()
        leader.reset_peak()
        begin = time.monotonic()
        joiner.start()
        joiner.wait_serving(last, limit=1200)
        took = time.monotonic() - begin
        put(f"{row}: serves", "s", "-", name, took)
        received = joiner.received_from(cluster.quorum_ports[leader.my_id])
        put(f"{row}: sent by the leader", "MB", "-", name, received and received / 1e6)
        put(f"{row}: leader's RSS before", "MB", "-", name, before / 1e3)
        put(f"{row}: leader's peak RSS meanwhile", "MB", "-", name, leader.memory_kb("PEAK") / 1e3)
        put(f"{row}: joiner's peak RSS", "MB", "-", name, joiner.memory_kb("PEAK") / 1e3)
        put(f"{row}: joiner's RSS when it serves", "MB", "-", name, joiner.memory_kb() / 1e3)
        log(f"{row} {name}: {took:.2f} s, leader {before / 1e3:.0f} -> {leader.memory_kb('PEAK') / 1e3:.0f} MB, "
            f"joiner {joiner.memory_kb('PEAK') / 1e3:.0f} MB")

    def run(self):
        wanted = self.options.only
        if "start" in wanted:
            self.starts()
        if {"micro", "latency", "watch"} & wanted:
            self.standalone(wanted)
        if "watches" in wanted:
            for distinct in (False, True):  # each afresh: what the first has freed must not feed the second
                self.alone("watches", 1, lambda cluster, distinct=distinct: self.watches(cluster, distinct))
        if "idle" in wanted:
            self.alone("idle", 1, self.idle)
        if "big" in wanted:
            self.alone("big", 1, self.big)
        if {"ensemble", "failover"} & wanted:
            self.alone("ensemble", 3, self.ensemble)
        if "distance" in wanted:
            self.alone("distance", 3, self.distance, distant=True)
        if "join" in wanted:
            # A slow machine's synchronisation may take its time. The log is in few files, for they are counted whole
            # when a leader chooses between it and the tree, but a disk does not hold too many of Apache's snapshots.
            extra = {"initLimit": 100, "snapCount": self.options.join_znodes // 6, "snapshotSizeFactor": 0.25}
            self.alone("join", 3, self.join, self.options.join_rounds, extra=extra, started=2)


QUICK = dict(rounds=1, starts=1, heavy_rounds=1, seconds=1, warmup=0.3, heat=0.3, watchers=300, sessions=1000,
             idle_seconds=2, znodes=50_000, start_rounds=3, watch_sessions=200, watch_nodes=200, snap_seconds=2, snap_count=5000, kills=1, failover_seconds=5,
             latency_rows=2, join_znodes=200_000)


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--peer", action="append", nargs="+", default=[], metavar="java[@VERSION][:NAME[:FLAGS]]")
    add("--binary", action="append", default=[], metavar="[NAME=]PATH", help="run as: PATH --config zoo.cfg")
    add("--server", action="append", default=[], metavar="NAME=COMMAND", help="a command with {cfg} (and {dir})")
    add("--floor", action="store_true", help="add the physical floor as a column, where it has a say")
    add("--only", default=",".join(PHASES), help=f"phases, of {','.join(PHASES)}")
    add("--workloads", default=",".join(MICRO), help="of the micro phase")
    add("--quick", action="store_true", help="a few minutes, with smaller sizes")
    add("--rounds", type=int, default=6, help="pairs per row of the throughput phases")
    add("--starts", type=int, default=2, help="server starts that those rounds are spread over")
    add("--heavy-rounds", type=int, default=3, help="pairs per row of the other phases")
    add("--seconds", type=float, default=5)
    add("--warmup", type=float, default=2, help="unmeasured seconds before each run")
    add("--heat", type=float, default=6, help="unmeasured seconds per workload after a server start")
    add("--conns", type=int, default=8)
    add("--window", type=int, default=16)
    add("--watchers", type=int, default=1000)
    add("--watch-sessions", type=int, default=1000, help="sessions that watch many nodes, of the phase watches")
    add("--watch-nodes", type=int, default=1000, help="nodes that each of them watches")
    add("--start-rounds", type=int, default=15, help="starts on an empty directory")
    add("--sessions", type=int, default=5000)
    add("--idle-seconds", type=float, default=15)
    add("--znodes", type=int, default=1_000_000)
    add("--snap-seconds", type=float, default=15)
    add("--snap-count", type=int, default=20000, help="snapCount while writing to the large tree")
    add("--snap-rate", type=int, default=3000)
    add("--latency-rows", type=int, default=len(LATENCY), help="how many rows of the latency phase")
    add("--kills", type=int, default=3, help="leaders killed per ensemble")
    add("--failover-seconds", type=float, default=8)
    add("--join-rounds", type=int, default=1, help="pairs per row of the phase join")
    add("--join-znodes", type=int, default=3_000_000, help="that a joining server is sent")
    add("--join-missed", type=int, default=10_000, help="writes that a restarted one has missed")
    add("--quiet-wait", type=float, default=0, help="wait up to this long before a run for an idle machine")
    add("--retries", type=int, default=0, help="repeat a run that others disturbed, so often")
    add("--max-other", type=float, default=0.4, help="cores of others that count as disturbed")
    add("--cores", action="store_true", help="show the rows on who used the cores")
    add("--dir", type=Path, default=Path(tempfile.gettempdir()) / "zkload-bench")
    add("--port", type=int, default=24100, help="first client port")
    add("--quorum-port", type=int, default=24200, help="first quorum port")
    add("--stop-signal", default="TERM", help="ends a server; KILL follows after 20 s")
    add("--keep-data", action="store_true")
    add("--json", type=Path, help="write everything to this file")
    given = parser.parse_args()
    if given.quick:
        parser.set_defaults(**QUICK)  # flags given on the command line still win
        given = parser.parse_args()
    given.only = set(filter(None, given.only.split(",")))
    given.workloads = [name for name in given.workloads.split(",") if name]
    if given.only - set(PHASES):
        parser.error(f"--only: unknown phase {', '.join(given.only - set(PHASES))}")
    definitions = [java_definition(spec) for group in given.peer for spec in group]
    definitions += [binary_definition(spec) for spec in given.binary]
    definitions += [server_definition(spec) for spec in given.server]
    names = [d.name for d in definitions]
    if not definitions or len(set(names)) != len(names) or len(names) > 5:
        parser.error("give one to five servers (--peer, --binary, --server) with different names")
    return given, definitions


def main():
    global OPTIONS
    OPTIONS, definitions = parse_options()
    OPTIONS.dir.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", "--manifest-path", HERE / "Cargo.toml", "--target-dir", TARGET], check=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    bench = Bench(OPTIONS, definitions)
    begin = time.monotonic()
    try:
        bench.run()
    finally:
        for cluster in list(LIVE):
            cluster.stop()
        facts = machine_facts()
        print(f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_gib']} GiB, Linux {facts['kernel']}; "
              f"{facts['java']}; {facts['time']}; took {time.monotonic() - begin:.0f} s")
        print("median (min–max) over rounds; ratios: median (min–max) over pairs; less is better unless said\n")
        print(bench.results.table(OPTIONS.cores))
        for text in bench.results.warnings:
            print(f"\nWARNING: {text}")
        if OPTIONS.json:
            OPTIONS.json.write_text(json.dumps(bench.results.as_json(), indent=1, default=str) + "\n")


if __name__ == "__main__":
    main()

"""The network between the servers of an ensemble, over a relay that makes it as long as one likes.

Every server reaches every other over a road of its own, one to the quorum port, one to the election port; see
src/relay.rs. Clients connect without a relay.
"""

import subprocess

LOOPBACK = "127.0.0.1"


class Roads:
    """A running relay. `ports` are each server's (quorum port, election port); the roads' ports begin with `first`."""

    def __init__(self, relay, ports, first):
        self.ports = ports
        pairs = [(a, b) for a in ports for b in ports if a != b]
        self.quorum = {pair: first + 2 * n for n, pair in enumerate(pairs)}
        self.election = {pair: first + 2 * n + 1 for n, pair in enumerate(pairs)}
        roads = []
        for a, b in pairs:
            quorum, election = ports[b]
            roads.append(f"{self.quorum[a, b]}:{quorum}")
            roads.append(f"{self.election[a, b]}:{election}:{self.election[b, a]}")
        argv = [str(relay), "--roads", ",".join(roads)]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._expect("open")

    def server_lines(self, me):
        """The configuration's `server.N` lines as server `me` is told them: its own ports, and roads to the others."""
        places = {
            sid: own if sid == me else (self.quorum[me, sid], self.election[me, sid]) for sid, own in self.ports.items()
        }
        return [f"server.{sid}={LOOPBACK}:{quorum}:{election}" for sid, (quorum, election) in places.items()]

    def set_delay(self, ms):
        """From now on whatever one server sends another arrives so much later."""
        micros = str(round(ms * 1000))
        self.process.stdin.write(micros + "\n")
        self.process.stdin.flush()
        self._expect(micros)

    def close(self):
        self.process.kill()
        self.process.wait()

    def _expect(self, answer):
        line = self.process.stdout.readline().strip()
        if line != answer:
            raise RuntimeError(f"the relay said {line!r} instead of {answer!r}")

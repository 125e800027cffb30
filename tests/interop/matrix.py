"""What was seen of ensembles of mixed kinds, as the table of docs/interop.md.

With INTEROP_MATRIX=1 every pair of kinds plays everything, which takes some eight minutes more, and the part of
docs/interop.md between its two marks is written anew:

    INTEROP_MATRIX=1 tests/interop/run mixed migration
"""

import collections
import os
import pathlib

WANTED = os.environ.get("INTEROP_MATRIX") == "1"
NAMES = {
    "zkserver": "zkserver",
    "apache-3.9": "Apache 3.9.5",
    "apache-3.8": "Apache 3.8.6",
    "apache-3.8.0": "Apache 3.8.0",
    "debian": "Debian 3.8.0",
}
WAYS = ["DIFF", "DIFF from the log", "TRUNC", "SNAP"]
BEGIN, END = "<!-- matrix: begin -->", "<!-- matrix: end -->"

_ways = collections.defaultdict(collections.Counter)  # (leader, learner) → way → how often
_runs = []  # (what, the kinds, what came of it)


def synchronised(leader, learner, way):
    """A leader has synchronised a learner in that way, and all trees were equal behind it."""
    _ways[leader.kind, learner.kind + (", observer" if learner.observer else "")][way] += 1


def ran(what, kinds, outcome):
    _runs.append((what, kinds, outcome))


def names(kinds):
    return ", ".join(NAMES[kind] for kind in kinds)


def table():
    lines = ["| leader | learner | " + " | ".join(WAYS) + " |", "|---|---|" + "---|" * len(WAYS)]
    for (leader, learner), ways in sorted(_ways.items()):
        kind, _, role = learner.partition(",")
        cells = [f"{ways[way]} ×" if ways[way] else "" for way in WAYS]
        lines.append(f"| {NAMES[leader]} | {NAMES[kind]}{role and ',' + role} | " + " | ".join(cells) + " |")
    lines += ["", "| what | servers | came of it |", "|---|---|---|"]
    lines += [f"| {what} | {kinds} | {outcome} |" for what, kinds, outcome in _runs]
    return "\n".join(lines)


def write():
    """Puts the table into docs/interop.md, if it was asked for and something was seen."""
    if not WANTED or not (_ways or _runs):
        return
    path = pathlib.Path(__file__).resolve().parents[2] / "docs" / "interop.md"
    text = path.read_text()
    before, rest = text.split(BEGIN)
    _, behind = rest.split(END)
    path.write_text(f"{before}{BEGIN}\n{table()}\n{END}{behind}")
    print(f"the matrix stands in {path}", flush=True)

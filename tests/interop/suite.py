"""The runner: finds the tests of this folder, runs those asked for one after the other, counts them."""

import importlib
import inspect
import os
import signal
import sys
import time
import traceback

import harness
import matrix

MODULES = [
    "kazoo_basic",
    "kazoo_watches",
    "kazoo_acl",
    "kazoo_recipes",
    "kazoo_sessions",
    "java_client",
    "c_client",
    "go_client",
    "node_client",
    "zkcli",
    "exchange",
    "apache_tools",
    "mixed",
    "migration",
    "words",
]
# No test takes half of this; one that hangs must still end as a failed line.
TEST_LIMIT_SECONDS = 240


def hung(_signal, _frame):
    raise TimeoutError(f"the test did not end within {TEST_LIMIT_SECONDS} s")


def run(name, function, server):
    """Runs one test and prints its line. Answers 'passed', 'failed' or 'skipped'."""
    arguments = {"server": server} if "server" in inspect.signature(function).parameters else {}
    started = time.monotonic()
    signal.alarm(TEST_LIMIT_SECONDS)
    try:
        function(**arguments)
        outcome, why = "passed", ""
    except harness.Skipped as reason:
        outcome, why = "skipped", f": {reason}"
    except Exception as error:  # a broken test must not hide the ones behind it
        outcome, why = "failed", f": {type(error).__name__}: {error}"
        traceback.print_exc()
    finally:
        signal.alarm(0)
    word = {"passed": "ok     ", "failed": "FAILED ", "skipped": "skipped"}[outcome]
    print(f"{word} {name} ({time.monotonic() - started:.1f} s){why}", flush=True)
    return outcome


def main(wanted):
    signal.signal(signal.SIGALRM, hung)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for module_name in MODULES:
        importlib.import_module(module_name)
        tests = [t for t in harness.take_tests() if not wanted or any(w in t[0] for w in wanted)]
        if not tests:
            continue
        # The tests of one file share a server, each under a path of its own; those that kill servers bring theirs.
        server = harness.Server(f"shared-{module_name}")
        for name, function in tests:
            try:
                server.ensure_running()
            except Exception as error:
                print(f"FAILED  {name}: the shared server: {error}", flush=True)
                counts["failed"] += 1
                continue
            outcome = run(name, function, server)
            counts[outcome] += 1
            if outcome == "failed":
                harness.report_servers()
            harness.end_processes(but=server)
        harness.end_processes()
    # Only what has passed stands in it.
    matrix.write()
    skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    print(f"{counts['passed']} passed, {counts['failed']} failed{skipped}", flush=True)
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    try:
        status = main(sys.argv[1:])
    finally:
        harness.end_processes()
        harness.remove_directories()
    sys.stdout.flush()
    # A client library's background thread must not keep a finished run alive.
    os._exit(status)

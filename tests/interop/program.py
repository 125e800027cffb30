"""Clients in other languages: a program of ours is told which test to run and answers on its standard output.

One process for each program, a line for each test. In: `NAME PORT`. Out: `@passed`, `@failed why`, or in between
`@restart`, which asks for the server to be killed with -9 and started again on its directory; `done` comes back once
it serves. What else it says is printed. The tests are found in its sources, so that a program which could not be
built still shows what it would have run.
"""

import os
import re
import subprocess

from harness import Proxy, Skipped, start_process, test


class Program:
    """Its tests belong to `module`; `why_missing` says why it cannot be started, if it cannot."""

    def __init__(self, module, command, why_missing=""):
        self.module = module
        self.command = command
        self.why_missing = why_missing
        self.process = None
        self.road = None

    def run(self, name, server):
        if self.why_missing:
            raise Skipped(self.why_missing)
        if self.process is None or self.process.poll() is not None:
            # It belongs to the shared server: both live as long as this file's tests run.
            self.process = start_process(
                self.command, owner=server, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            # Apache's server sometimes accepts a connection while it is starting and never answers on it; a client may
            # wait long for that. So its clients come by a road that is closed meanwhile.
            self.road = Proxy(server) if server.kind == "apache" else None
        self.say(f"{name} {self.road.port if self.road else server.port}")
        for line in self.process.stdout:
            line = line.rstrip("\n")
            if line == "@passed":
                return
            if line.startswith("@failed "):
                raise AssertionError(line.removeprefix("@failed "))
            if line == "@restart":
                self.restart(server)
                self.say("done")
            else:
                print(line)
        raise AssertionError(f"the program ended with {self.process.wait(5)}")

    def restart(self, server):
        if self.road:
            self.road.cut()
        server.kill_and_restart()
        if self.road:
            self.road.mend()

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def define_tests(self, sources, pattern, prefix=""):
        """Makes a test of every name that `pattern` finds in the sources."""
        for source in sorted(sources):
            for name in re.findall(pattern, source.read_text(), re.M):
                self.define(prefix + name, name)

    def define(self, called, name):
        def run_it(server):
            self.run(name, server)

        run_it.__name__ = called
        run_it.__module__ = self.module
        test(run_it)


def built(module, variable, *interpreter):
    """The program that `run` built and named in this variable; without one, `…_MISSING` says why."""
    path = os.environ.get(variable, "")
    why_missing = "" if path else os.environ.get(f"{variable}_MISSING", f"{variable} is not set")
    return Program(module, [*interpreter, path], why_missing)

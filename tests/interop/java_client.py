"""Apache ZooKeeper's own Java client. The tests are the static methods of java/*Tests.java; each becomes a test here.

One Java process for each class: it is told which method to run and answers on its standard output (see Harness.java).
It may ask for its server to be killed and started again.
"""

import pathlib
import re
import subprocess

from harness import java_command, start_process, test

_processes = {}


def run(class_name, method, server):
    process = _processes.get(class_name)
    if process is None or process.poll() is not None:
        command = java_command("Harness", class_name)
        # It belongs to the shared server: both live as long as this file's tests run.
        process = start_process(command, owner=server, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        _processes[class_name] = process
    say(process, f"{method} {server.port}")
    for line in process.stdout:
        line = line.rstrip("\n")
        if line == "@passed":
            return
        if line.startswith("@failed "):
            raise AssertionError(line.removeprefix("@failed "))
        if line == "@restart":
            server.kill_and_restart()
            say(process, "done")
        else:
            print(line)
    raise AssertionError(f"the Java process ended with {process.wait(5)}")


def say(process, line):
    process.stdin.write(line + "\n")
    process.stdin.flush()


def define(class_name, method):
    def run_method(server):
        run(class_name, method, server)

    run_method.__name__ = f"{class_name.removesuffix('Tests').lower()}_{method}"
    test(run_method)


for source in sorted((pathlib.Path(__file__).parent / "java").glob("*Tests.java")):
    for name in re.findall(r"public static void (\w+)\(Harness t\)", source.read_text()):
        define(source.stem, name)

"""node-zookeeper-client. The tests are the `test('name', …)` of node/*.js."""

import pathlib

from program import built

program = built(__name__, "INTEROP_NODE_PROGRAM", "node")
program.define_tests((pathlib.Path(__file__).parent / "node").glob("*.js"), r"^test\('(\w+)'")

"""go-zookeeper. The tests are the `test("name", …)` of go/*.go."""

import pathlib

from program import built

program = built(__name__, "INTEROP_GO_PROGRAM")
program.define_tests((pathlib.Path(__file__).parent / "go").glob("*.go"), r'^\ttest\("(\w+)"')

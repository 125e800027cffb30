"""The C client that Debian ships, libzookeeper-mt. The tests are the `TEST(name)` of c/*.c."""

import pathlib

from program import built

program = built(__name__, "INTEROP_C_PROGRAM")
program.define_tests((pathlib.Path(__file__).parent / "c").glob("*.c"), r"^TEST\((\w+)\)")

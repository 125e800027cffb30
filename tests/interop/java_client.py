"""Apache's own Java client, and Curator's recipes on top of it.

The tests are the static methods of java/*Tests.java, one Java process for each class (see Harness.java).
"""

import pathlib

from harness import java_command
from program import Program

for source in sorted((pathlib.Path(__file__).parent / "java").glob("*Tests.java")):
    program = Program(__name__, java_command("Harness", source.stem))
    prefix = source.stem.removesuffix("Tests").lower() + "_"
    program.define_tests([source], r"public static void (\w+)\(Harness t\)", prefix)

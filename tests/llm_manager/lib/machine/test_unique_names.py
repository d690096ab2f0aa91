"""Names that nothing else has, in a process and in its children."""

from __future__ import annotations

import random
import re
import subprocess
import sys

from llm_manager.lib.machine.unique_names import unique_name

#: In a process without threads, where a child begins as a copy.
_FORKS = """
import os
from llm_manager.lib.machine.unique_names import unique_name
read, write = os.pipe()
if not os.fork():
    os.write(write, unique_name().encode())
    os._exit(0)
os.wait()
print(unique_name(), os.read(read, 32).decode())
"""


def test_names_are_hexadecimal_and_never_the_same() -> None:
    random.seed(1)
    names = [unique_name() for _ in range(1000)]
    random.seed(1)
    names += [unique_name() for _ in range(1000)]
    assert len(set(names)) == 2000
    assert all(re.fullmatch("[0-9a-f]{32}", name) for name in names)


def test_a_child_process_makes_names_of_its_own() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FORKS], capture_output=True, text=True, check=True
    )
    ours, theirs = done.stdout.split()
    assert ours != theirs

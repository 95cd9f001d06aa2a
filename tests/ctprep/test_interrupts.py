"""Ctrl-C reaches what started the processes, and none of them."""

import subprocess
import sys

from ctprep.interrupts import interrupts_held

MEANWHILE = """
import os, signal
from ctprep.interrupts import interrupts_held
# A shell has what it puts in the background ignore the signal, and so what that starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    with interrupts_held():
        os.kill(os.getpid(), signal.SIGINT)
        print("the end of the block")
except KeyboardInterrupt:
    print("heard")
"""
ASK = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))"


def test_what_is_started_inside_never_hears_it() -> None:
    asked = [sys.executable, "-c", ASK]
    with interrupts_held():
        inside = subprocess.run(asked, capture_output=True, text=True, check=True)
    outside = subprocess.run(asked, capture_output=True, text=True, check=True)

    assert (inside.stdout, outside.stdout) == ("True\n", "False\n")


def test_one_that_came_meanwhile_is_heard_at_the_end() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEANWHILE], capture_output=True, text=True, check=True
    )

    assert done.stdout == "the end of the block\nheard\n"

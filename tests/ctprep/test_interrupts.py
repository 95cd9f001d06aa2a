"""Ctrl-C reaches what started the processes, and none of them."""

import signal
import subprocess
import sys
import threading

import pytest

from ctprep.interrupts import interrupts_held

ASK = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))"


def test_what_is_started_inside_never_hears_it() -> None:
    asked = [sys.executable, "-c", ASK]
    with interrupts_held():
        inside = subprocess.run(asked, capture_output=True, text=True, check=True)
    outside = subprocess.run(asked, capture_output=True, text=True, check=True)

    assert (inside.stdout, outside.stdout) == ("True\n", "False\n")


def test_one_that_came_meanwhile_is_heard_at_the_end() -> None:
    reached = []

    def interrupted() -> None:
        with interrupts_held():
            signal.pthread_kill(threading.get_ident(), signal.SIGINT)
            reached.append("the end of the block")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert reached

"""Ctrl-C while processes are started: it is for the one that has something to close."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back until the end of the block, and from what is started in it for good.

    A terminal interrupts every process of a command. One that is still importing would print a
    traceback, and one at work would leave its half to whoever closes it anyway.
    """
    # Before the signal is blocked, since starting it later would unblock it.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

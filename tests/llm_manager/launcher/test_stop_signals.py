"""Signals are counted, end a sleep, and interrupt a start-up once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from llm_manager.launcher.stop_signals import StopRequested, StopSignals

LONG_S = 60.0


def test_signal_ends_the_sleep() -> None:
    with StopSignals() as signals:
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM))
        timer.start()
        started = time.monotonic()
        signals.wait(LONG_S)
        timer.join()
        assert signals.count == 1
    assert time.monotonic() - started < LONG_S / 2


def test_signal_before_the_sleep_is_not_missed() -> None:
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        started = time.monotonic()
        signals.wait(LONG_S)
    assert time.monotonic() - started < LONG_S / 2


def test_end_of_a_child_ends_the_sleep() -> None:
    with StopSignals() as signals:
        process = subprocess.Popen([sys.executable, "-c", ""])
        started = time.monotonic()
        signals.wait(LONG_S)
        assert signals.count == 0
        process.wait()
    assert time.monotonic() - started < LONG_S / 2


def test_start_up_is_interrupted_once() -> None:
    with StopSignals() as signals:
        signals.raising = True
        with pytest.raises(StopRequested):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.count == 2


def test_nohup_is_respected() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopSignals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            assert signals.count == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopSignals():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before

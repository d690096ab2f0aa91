"""Finds out in a child process what llama.cpp sees on this machine.

The engine process never imports llama.cpp: it would keep a GPU's memory for itself,
and a crash of the driver would end it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from contextlib import suppress

from inference.capacity.machine import Machine
from llm_manager.lib.processes.python_path import python_path

logger = logging.getLogger(__name__)

_TIMEOUT_S = 60.0


async def machine_probe() -> Machine:
    """Return the machine; without GPUs, and with an error logged, if that fails."""
    environment = {**os.environ, "PYTHONPATH": python_path()}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "inference.engine.llama.hardware",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    errors = b""
    try:
        output, errors = await asyncio.wait_for(process.communicate(), _TIMEOUT_S)
        return Machine.from_json(json.loads(output))
    except (TimeoutError, TypeError, ValueError, KeyError):
        # Loading a model will fail too and show the reason.
        output_text = errors.decode("utf-8", "replace").strip() or "nothing"
        logger.exception("llama.cpp could not list the devices: %s", output_text)
        return Machine()
    finally:
        with suppress(ProcessLookupError):
            process.kill()

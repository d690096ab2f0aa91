"""What llama.cpp finds on this machine, asked of a process of its own.

The engine never imports llama.cpp: it would hold a GPU's memory for ever, and
die with a driver that does.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from contextlib import suppress

from inference.capacity.machine import Machine

logger = logging.getLogger(__name__)

_TIMEOUT_S = 60.0


async def machine_probe() -> Machine:
    """Return the machine; one without GPUs, and an error in the log, if that fails."""
    environment = dict(os.environ)
    # The child finds the same packages, installed or from a checkout.
    environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
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
        # Loading a model will fail as well, and show why; what runs elsewhere goes on.
        said = errors.decode("utf-8", "replace").strip() or "nothing"
        logger.exception("llama.cpp does not say what this machine has, but: %s", said)
        return Machine()
    finally:
        with suppress(ProcessLookupError):
            process.kill()

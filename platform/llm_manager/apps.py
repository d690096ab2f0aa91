"""The project as a Django app, for its system checks."""

from django.apps import AppConfig, apps


class ProjectConfig(AppConfig):
    """Registers the system checks when Django is ready."""

    name = "llm_manager"

    def ready(self) -> None:
        """Import the checks, which registers them."""
        from llm_manager import checks  # noqa: F401

        # Django's users and groups, under the sidebar's word for them.
        apps.get_app_config("auth").verbose_name = "Access"

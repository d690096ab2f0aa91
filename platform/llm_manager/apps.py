"""The project as a Django app, for its system checks."""

from django.apps import AppConfig, apps
from django.conf import settings


class ProjectConfig(AppConfig):
    """Registers the system checks when Django is ready."""

    name = "llm_manager"

    def ready(self) -> None:
        """Import the checks, which registers them; finish setting up the log."""
        from llm_manager import checks  # noqa: F401
        from llm_manager.lib.log.json_lines import log_what_python_prints

        if settings.CONFIG.logging.format == "json":
            log_what_python_prints()

        # Django's users and groups, under the sidebar's word for them.
        apps.get_app_config("auth").verbose_name = "Access"

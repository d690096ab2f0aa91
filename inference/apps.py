from django.apps import AppConfig
from django.conf import settings

from llm_manager.config.in_force import use_in_process


class InferenceConfig(AppConfig):
    name = "inference"
    verbose_name = "Inference"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Let requests be served with the project's configuration."""
        use_in_process(lambda: settings.CONFIG)

from django.apps import AppConfig


class RegistryConfig(AppConfig):
    name = "registry"
    verbose_name = "Inference"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the model cache to the signals that clear it."""
        from registry import served_models

        served_models.connect_signals()

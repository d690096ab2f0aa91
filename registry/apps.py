from django.apps import AppConfig


class RegistryConfig(AppConfig):
    name = "registry"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Hear of changes to what is kept of the rows."""
        from registry import served_models

        served_models.watch()

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Hear of changes to what is kept of the rows."""
        from accounts.keys import key_cache

        key_cache.watch()

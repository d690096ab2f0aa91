from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "Access"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the caches of rows and the audit log to the signals of rows.

        Put the login of all users in the place of the admin's.
        """
        from accounts.audit import log
        from accounts.keys import key_cache
        from accounts.limits import limit_rows
        from accounts.sign_in import views

        key_cache.connect_signals()
        limit_rows.connect_signals()
        log.watch_rows()
        views.replace_admin_login()

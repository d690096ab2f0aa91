"""From where a key was used, day by day."""

from __future__ import annotations

from datetime import timedelta

from django.db import models

#: Rows of days before this are deleted.
KEPT = timedelta(days=90)
#: Addresses of one key and day; what comes from further ones counts as OTHERS.
MAX_ADDRESSES = 50
OTHERS = "others"


class KeyAddress(models.Model):
    """A key was used on a day from an address, and last at this time."""

    key = models.ForeignKey(
        "accounts.ApiKey", on_delete=models.CASCADE, related_name="addresses"
    )
    day = models.DateField(help_text="In UTC.")
    address = models.CharField(max_length=45)
    last_at = models.DateTimeField()

    class Meta:
        ordering = ["-day", "-last_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["key", "day", "address"], name="accounts_keyaddress_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.address}"

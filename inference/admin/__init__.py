"""The admin pages of what runs."""

from inference.admin import model_page  # noqa: F401

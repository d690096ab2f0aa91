"""LLM Manager: the Django project that ties registry, accounts and inference."""

__version__ = "0.1.0"

"""The ASGI application that Daphne serves."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llm_manager.settings")

import django
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler

django.setup(set_prefix=False)

# Only now: it imports models.
from llm_manager.web.handler import Handler  # noqa: E402

# The admin's and Swagger UI's assets come straight from the packages, so there
# is no collectstatic step; a proxy in front may serve /static/ itself.
application = ASGIStaticFilesHandler(Handler())

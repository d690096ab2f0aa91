"""The ASGI application that Daphne serves."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llm_manager.settings")

from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application

# The admin's and Swagger UI's assets come straight from the packages, so there
# is no collectstatic step; a proxy in front may serve /static/ itself.
application = ASGIStaticFilesHandler(get_asgi_application())

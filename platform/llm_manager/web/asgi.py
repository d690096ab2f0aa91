"""The ASGI application that Daphne serves, from the outside in."""

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llm_manager.settings")

import django
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler

django.setup(set_prefix=False)

# These import models, so they come after setup().
from llm_manager.web.access_log import AccessLog  # noqa: E402
from llm_manager.web.handler import Handler  # noqa: E402
from llm_manager.web.response_headers import ResponseHeaders  # noqa: E402

# The assets of the admin and of Swagger UI come straight from their packages, so no
# collectstatic is needed; a proxy in front may serve /static/ itself.
_outermost: Any = ASGIStaticFilesHandler  # typed as if it wrapped Django's handler only
application = _outermost(ResponseHeaders(AccessLog(Handler())))

"""The ASGI application that Daphne serves, from the outside in."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llm_manager.settings")

import django

django.setup(set_prefix=False)

# These import models, so they come after setup().
from llm_manager.web.handler import Handler  # noqa: E402
from llm_manager.web.middleware.access_log import AccessLog  # noqa: E402
from llm_manager.web.middleware.failures import Failures  # noqa: E402
from llm_manager.web.middleware.response_headers import ResponseHeaders  # noqa: E402
from llm_manager.web.middleware.static_files import StaticFiles  # noqa: E402

# The assets of the admin and of Swagger UI come straight from their packages, so no
# collectstatic is needed; a proxy in front may serve /static/ itself.
application = Failures(StaticFiles(ResponseHeaders(AccessLog(Failures(Handler())))))

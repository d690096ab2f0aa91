"""Admin pages of the engine and of served models."""

from inference.admin import (  # noqa: F401
    engine_page,
    health_page,
    running_page,
)
from inference.admin.batches import batch_page  # noqa: F401
from inference.admin.downloads import download_page  # noqa: F401
from inference.admin.elsewhere import route_page, upstream_page  # noqa: F401
from inference.admin.model_page import page  # noqa: F401

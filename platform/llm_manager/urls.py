"""Every route of the product. A route's name is its label ``view`` in the metrics."""

from django.contrib import admin
from django.urls import include, path

from inference.admin.playground import playground_view
from llm_manager.dashboard.page import live_view
from llm_manager.web.detailed_health import DetailedHealthView
from llm_manager.web.docs import DocsView, OpenApiView
from llm_manager.web.health import HealthView
from llm_manager.web.metrics import MetricsView
from llm_manager.web.pages.start import StartView

urlpatterns = [
    path(
        "admin/playground/",
        admin.site.admin_view(playground_view),
        name="playground",
    ),
    path("admin/live/", admin.site.admin_view(live_view), name="dashboard-live"),
    path("admin/", admin.site.urls),
    path("account/", include("accounts.urls")),
    path("health", HealthView.as_view(), name="health"),
    path("health/detailed", DetailedHealthView.as_view(), name="detailed-health"),
    path("metrics", MetricsView.as_view(), name="metrics"),
    path("openapi.json", OpenApiView.as_view(), name="openapi"),
    path("docs", DocsView.as_view(), name="docs"),
    path("", StartView.as_view(), name="root"),
    path("", include("inference.api.urls")),
]

handler400 = "llm_manager.web.pages.refusals.bad_request"
handler403 = "llm_manager.web.pages.refusals.forbidden"
handler404 = "llm_manager.web.pages.refusals.not_found"

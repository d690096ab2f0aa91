"""Every route of the product."""

from django.contrib import admin
from django.urls import include, path

from llm_manager.web.docs import DocsView, OpenApiView, RootView
from llm_manager.web.health import DetailedHealthView, HealthView, MetricsView

urlpatterns = [
    path("admin/", admin.site.urls),
    path("health", HealthView.as_view()),
    path("health/detailed", DetailedHealthView.as_view()),
    path("metrics", MetricsView.as_view()),
    path("openapi.json", OpenApiView.as_view(), name="openapi"),
    path("docs", DocsView.as_view(), name="docs"),
    path("", RootView.as_view()),
    path("", include("inference.api.urls")),
]

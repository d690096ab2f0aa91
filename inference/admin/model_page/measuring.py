"""Benchmarks of a model, from its page."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from django.shortcuts import get_object_or_404
from django.urls import path
from django.views.decorators.http import require_POST

from inference.admin.model_page.posting import PostedModelAdmin
from inference.admin.model_panels.speed import cancel_benchmark, request_benchmark
from inference.models import Benchmark

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern


class MeasuringAdmin(PostedModelAdmin):
    """Models whose speed can be measured."""

    def get_urls(self) -> list[URLPattern]:
        """Return the routes of the buttons."""
        view = self.admin_site.admin_view
        return [
            path(
                "measure/",
                require_POST(view(self.measure_view)),
                name="registry_model_measure",
            ),
            path(
                "cancel-measure/",
                require_POST(view(self.cancel_measure_view)),
                name="registry_model_cancel_measure",
            ),
            *super().get_urls(),
        ]

    def measure_view(self, request: HttpRequest) -> HttpResponse:
        """Ask the engine to measure the posted model."""
        model = self.posted_model(request)
        self.apply(
            request, partial(request_benchmark, by=request.user.get_username()), [model]
        )
        return self.back(request)

    def cancel_measure_view(self, request: HttpRequest) -> HttpResponse:
        """Cancel the posted benchmark."""
        pk = self.posted_pk(request, request.POST.get("benchmark", ""))
        rows = Benchmark.objects.select_related("model")
        benchmark = get_object_or_404(rows, pk=pk)
        self.apply(
            request,
            lambda _model: cancel_benchmark(benchmark, by=request.user.get_username()),
            [benchmark.model],
        )
        return self.back(request)

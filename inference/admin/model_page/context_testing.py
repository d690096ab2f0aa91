"""Tests of contexts, from a model's page and from the list."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path
from django.views.decorators.http import require_POST

from inference.admin import context_tests
from inference.admin.context_tests import ContextTestForm
from inference.admin.model_page.posting import PostedModelAdmin
from registry.models import SEQUENCES, ContextTest, Model

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.urls import URLPattern


class ContextTestingAdmin(PostedModelAdmin):
    """Models whose context can be tested."""

    def get_urls(self) -> list[URLPattern]:
        """Return the routes of the buttons."""
        view = self.admin_site.admin_view
        return [
            path(
                "test-context/",
                require_POST(view(self.test_context_view)),
                name="registry_model_test_context",
            ),
            path(
                "cancel-test/",
                require_POST(view(self.cancel_test_view)),
                name="registry_model_cancel_test",
            ),
            path(
                "forget-test/",
                require_POST(view(self.forget_test_view)),
                name="registry_model_forget_test",
            ),
            path(
                "use-test/",
                require_POST(view(self.use_test_view)),
                name="registry_model_use_test",
            ),
            *super().get_urls(),
        ]

    def test_context_view(self, request: HttpRequest) -> HttpResponse:
        """Request tests of the posted model's context."""
        model = self.posted_model(request)
        form = ContextTestForm(request.POST)
        if not form.is_valid():
            errors = ", ".join(
                f"{name.replace('_', ' ')}: {' '.join(map(str, found))}"
                for name, found in form.errors.items()
            )
            self.message_user(request, f"Not tested: {errors}", messages.ERROR)
            return self.back(request)
        action = partial(context_tests.request_tests, by=request.user.get_username())
        self.apply(request, partial(action, **form.cleaned_data), [model])
        return self.back(request)

    def cancel_test_view(self, request: HttpRequest) -> HttpResponse:
        """Cancel the posted test."""
        test = self._posted_test(request, request.POST.get("test", ""))
        self.apply(
            request,
            lambda _model: context_tests.cancel_test(
                test, by=request.user.get_username()
            ),
            [test.model],
        )
        return self.back(request)

    def forget_test_view(self, request: HttpRequest) -> HttpResponse:
        """Delete the posted test: a new one measures again."""
        test = self._posted_test(request, request.POST.get("test", ""))
        self.apply(
            request, lambda _model: context_tests.forget_test(test), [test.model]
        )
        return self.back(request)

    def use_test_view(self, request: HttpRequest) -> HttpResponse:
        """Give a model what a test recommends: posted as ``test-sequences``."""
        pk, _, number = request.POST.get("use", "").partition("-")
        test = self._posted_test(request, pk)
        if number not in map(str, SEQUENCES):
            raise Http404
        self.apply(
            request,
            lambda _model: context_tests.use_result(test, int(number)),
            [test.model],
        )
        return self.back(request)

    @admin.action(description="Test context", permissions=["change"])
    def test_contexts(self, request: HttpRequest, queryset: QuerySet[Model]) -> None:
        """Request tests of the selected models, with the KV types in force."""
        action = partial(context_tests.request_tests, by=request.user.get_username())
        self.apply(request, action, queryset)

    def _posted_test(self, request: HttpRequest, pk: str) -> ContextTest:
        tests = ContextTest.objects.select_related("model")
        return get_object_or_404(tests, pk=self.posted_pk(request, pk))

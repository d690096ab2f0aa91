"""What a button of a model's page posts, done and answered by the page it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from inference.admin.model_actions import outcome_messages
from registry.admin import RegistryModelAdmin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from inference.admin.model_actions import ActionOutcome
    from registry.models import Model


def requester(request: HttpRequest) -> str:
    """Return who asks, as requests that are ended are answered."""
    return f"the administrator {request.user.get_username()}"


class PostedModelAdmin(RegistryModelAdmin):
    """Models on which buttons act: the model is posted, the outcome is a message."""

    def apply(
        self,
        request: HttpRequest,
        action: Callable[[Model], ActionOutcome],
        models: Iterable[Model],
    ) -> None:
        """Run the action on each model, log the changes and show the outcomes."""
        outcomes = []
        for model in models:
            outcome = action(model)
            outcomes.append(outcome)
            if outcome.log_entry:
                self.log_change(request, model, outcome.log_entry)
        for level, text in outcome_messages(outcomes):
            self.message_user(request, text, level)

    def posted_model(self, request: HttpRequest) -> Model:
        """Return the model that is posted. Raises PermissionDenied and Http404."""
        pk = self.posted_pk(request, request.POST.get("model", ""))
        return get_object_or_404(self.get_queryset(request), pk=pk)

    def posted_pk(self, request: HttpRequest, posted: str) -> int:
        """Return the id of a row to change. Raises PermissionDenied and Http404."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        if not (posted.isascii() and posted.isdigit()):
            raise Http404
        return int(posted)

    def back(self, request: HttpRequest) -> HttpResponse:
        """Return the way to the posted page, if it is one of ours, or to the list."""
        target = request.POST.get("back", "")
        if not url_has_allowed_host_and_scheme(target, allowed_hosts=None):
            target = reverse("admin:registry_model_changelist")
        return HttpResponseRedirect(target)

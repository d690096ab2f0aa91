"""What a model would take with the load settings on its page, before they are saved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.template.response import TemplateResponse

from inference.admin.memory_fit import fit, memory_of_all
from inference.load_differences import reload_differences
from registry.forms import LoadSettingsForm

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from inference.models import EngineNode
    from registry.models import Model


def estimate_view(
    request: HttpRequest, model: Model, node: EngineNode | None
) -> HttpResponse:
    """Return the estimate for the posted settings of a model. Saves nothing."""
    # The form writes into the model what was typed.
    before = memory_of_all(model, node)
    form = LoadSettingsForm(request.POST, instance=model)
    context: dict[str, Any] = {"form": form}
    if form.is_valid():
        context["before"] = before
        context["after"] = memory_of_all(form.instance, node)
        context["fit"] = fit(form.instance, node)
        workers = model.workers.all()
        context["differences"] = reload_differences(workers, form.instance)
    return TemplateResponse(request, "admin/registry/model/estimate.html", context)

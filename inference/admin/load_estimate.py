"""What a model would take with the load settings on its page, before they are saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.template.response import TemplateResponse

from inference.admin.memory_fit import fit
from registry.forms import LoadSettingsForm

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from inference.models import EngineNode
    from registry.models import Model


def estimate_view(
    request: HttpRequest, model: Model, node: EngineNode | None
) -> HttpResponse:
    """Return the estimate for the posted settings of a model. Saves nothing."""
    form = LoadSettingsForm(request.POST, instance=model)
    is_valid = form.is_valid()
    context = {
        "form": form,
        "fit": fit(form.instance, node) if is_valid else None,
        "changed": [str(form[name].label) for name in form.changed_data],
    }
    return TemplateResponse(request, "admin/registry/model/estimate.html", context)

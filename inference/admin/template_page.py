"""The admin page of a chat template: edit it and preview its prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseRedirect
from django.template.response import TemplateResponse

from inference.admin.template_forms import PreviewForm, sample_text
from inference.prompts.preview import SAMPLES, preview, with_overrides

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from llm_manager.lib.unfold_types import ModelAdmin
    from registry.models import Model

_OVERRIDES = ("template_override", "output_parser_override")


def template_view(
    request: HttpRequest, model: Model, model_admin: ModelAdmin[Model]
) -> HttpResponse:
    """Show the prompt of a conversation, or save the template.

    The right to view the model allows previews, the right to change it saving.
    """
    form = _form(request, model)
    found = None
    if form.is_valid():
        posted = form.cleaned_data
        changed = with_overrides(
            model, _override(posted, model), posted["output_parser"]
        )
        if "save" in request.POST:
            if not model_admin.has_change_permission(request, model):
                raise PermissionDenied
            changed.save(update_fields=_OVERRIDES)
            model_admin.log_change(request, changed, "Changed the chat template.")
            model_admin.message_user(
                request, "The chat template was saved.", messages.SUCCESS
            )
            return HttpResponseRedirect(request.path)
        conversation = posted["conversation"]
        tools = conversation.get("tools", ())
        found = preview(
            changed, conversation["messages"], tools, posted["effort"] or None
        )
    context: dict[str, Any] = {
        **model_admin.admin_site.each_context(request),
        "title": f"Chat template of {model.name}",
        "original": model,
        "opts": model._meta,
        "form": form,
        "found": found,
        "samples": SAMPLES,
        "may_save": model_admin.has_change_permission(request, model),
    }
    return TemplateResponse(request, "admin/registry/model/template.html", context)


def _form(request: HttpRequest, model: Model) -> PreviewForm:
    """Return the form as posted, perhaps with a sample, or with the model's values."""
    if request.method == "POST":
        data = request.POST.copy()
        if data.get("sample") in SAMPLES:
            data["conversation"] = sample_text(str(data["sample"]))
        return PreviewForm(data)
    return PreviewForm(
        {
            "template": model.template_override or model.chat_template,
            "output_parser": model.output_parser_override,
            "effort": "",
            "conversation": sample_text(next(iter(SAMPLES))),
        }
    )


def _override(posted: dict[str, Any], model: Model) -> str:
    """Return the template, or an empty text if it is the file's own."""
    template: str = posted["template"]
    return "" if template == model.chat_template.replace("\r\n", "\n") else template

"""Forms about chat templates: a model's settings of them, and their preview."""

from __future__ import annotations

import io
import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from inference.api.body import Body
from inference.api.chat.conversation import conversation
from inference.api.chat.messages import Messages
from inference.api.chat.tools import Tools, functions_of
from inference.api.errors import InvalidRequest
from inference.api.parsers import StrictJSONParser
from inference.errors import RequestRejected
from inference.output_parsers.families import OUTPUT_PARSERS
from inference.prompts.chat import compiled
from inference.prompts.effort import EFFORTS
from inference.prompts.preview import SAMPLES
from registry.forms import ModelSettingsForm

_OUTPUT_PARSERS = [
    ("", "Detected from the template"),
    *((name, name) for name in sorted(OUTPUT_PARSERS)),
]
_EFFORTS = [("", "As the template has it"), *((name, name) for name in EFFORTS)]


class TemplateField(forms.CharField):
    """A chat template that compiles and shows what a user says; or nothing."""

    def __init__(self, *, rows: int = 12, **kwargs: Any) -> None:
        attrs = {"rows": rows, "spellcheck": "false", "class": "lm-code"}
        super().__init__(
            required=False,
            strip=False,
            widget=UnfoldAdminTextareaWidget(attrs=attrs),
            **kwargs,
        )

    def clean(self, value: Any) -> str:
        """Return the template as a file would have it. Raises ValidationError."""
        # Browsers send every line break of a text area as CR LF.
        source = str(super().clean(value)).replace("\r\n", "\n")
        if not source.strip():
            return ""
        try:
            compiled(source).check()
        except RequestRejected as error:
            raise ValidationError(error.message) from None
        return source


class OutputParserField(forms.ChoiceField):
    """A choice of output parsers; empty detects it from the chat template."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            choices=_OUTPUT_PARSERS,
            required=False,
            widget=UnfoldAdminSelectWidget(),
            **kwargs,
        )


class Conversation(Body):
    """What a preview shows: messages, and the tools that may be called."""

    messages: Messages
    tools: Tools = []


class ConversationField(forms.CharField):
    """A conversation as the API takes it: an object of messages and tools."""

    def __init__(self, **kwargs: Any) -> None:
        attrs = {"rows": 12, "spellcheck": "false", "class": "lm-code"}
        super().__init__(widget=UnfoldAdminTextareaWidget(attrs=attrs), **kwargs)

    def clean(self, value: Any) -> dict[str, Any]:
        """Return messages and tools. Raises ValidationError."""
        text = io.BytesIO(super().clean(value).encode("utf-8", "replace"))
        try:
            body = StrictJSONParser().parse(text, "application/json")
            given = Conversation.parse(body)
            return {
                "messages": conversation(given.messages),
                "tools": functions_of(given.tools),
            }
        except InvalidRequest as error:
            raise ValidationError(error.message) from None


def _help(name: str) -> str:
    return str(ModelSettingsForm.base_fields[name].help_text)


class ServedModelForm(ModelSettingsForm):
    """A model's settings, those of its chat template checked."""

    template_override = TemplateField(
        label="Chat template", help_text=_help("template_override")
    )
    output_parser_override = OutputParserField(
        label="Output parser", help_text=_help("output_parser_override")
    )


class PreviewForm(forms.Form):
    """A template, a conversation, and how long the model is to think."""

    template = TemplateField(
        rows=20, help_text="Empty, or left as the file has it: the file's own."
    )
    output_parser = OutputParserField(
        label="Output parser", help_text=_help("output_parser_override")
    )
    effort = forms.ChoiceField(
        label="Thinking",
        choices=_EFFORTS,
        required=False,
        widget=UnfoldAdminSelectWidget(),
        help_text="As reasoning_effort of a request; none switches it off.",
    )
    conversation = ConversationField(
        help_text="The messages and tools of a request, in JSON."
    )


def sample_text(name: str) -> str:
    """Return a sample conversation as it is edited."""
    return json.dumps(SAMPLES[name], indent=2, ensure_ascii=False)

"""Forms of the chat template: a model's settings, and the preview."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from inference.api.body.parsing_pool import malformed
from inference.api.body.request_body import Body
from inference.api.body.strict_json import MalformedJSON, parse_json
from inference.api.chat.conversation import text_conversation
from inference.api.chat.messages import Messages
from inference.api.chat.tools import Tools, functions_of
from inference.api.errors import BadRequest
from inference.errors import RequestRejected
from inference.output_parsers.families import OUTPUT_PARSERS
from inference.prompts.chat import compiled
from inference.prompts.preview import SAMPLES
from inference.prompts.reasoning_effort import EFFORTS
from registry.forms import ModelSettingsForm

_OUTPUT_PARSERS = [
    ("", "Detected from the template"),
    *((name, name) for name in sorted(OUTPUT_PARSERS)),
]
_EFFORTS = [("", "The template's default"), *((name, name) for name in EFFORTS)]


class TemplateField(forms.CharField):
    """A chat template that renders the user's messages, or an empty text."""

    def __init__(self, *, rows: int = 12, **kwargs: Any) -> None:
        attrs = {"rows": rows, "spellcheck": "false", "class": "lm-code"}
        super().__init__(
            required=False,
            strip=False,
            widget=UnfoldAdminTextareaWidget(attrs=attrs),
            **kwargs,
        )

    def clean(self, value: Any) -> str:
        """Return the template with a file's line breaks. Raises ValidationError."""
        # Browsers send the line breaks of a text area as CR LF.
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
    """A conversation as the API takes it: an object with messages and tools."""

    def __init__(self, **kwargs: Any) -> None:
        attrs = {"rows": 12, "spellcheck": "false", "class": "lm-code"}
        super().__init__(widget=UnfoldAdminTextareaWidget(attrs=attrs), **kwargs)

    def clean(self, value: Any) -> dict[str, Any]:
        """Return messages and tools. Raises ValidationError."""
        text = super().clean(value).encode("utf-8", "replace")
        try:
            given = Conversation.parse(parse_json(text))
            return {
                "messages": text_conversation(given.messages),
                "tools": functions_of([tool.function for tool in given.tools]),
            }
        except BadRequest as error:
            raise ValidationError(error.message) from None
        except MalformedJSON as error:
            raise ValidationError(malformed(str(error)).message) from None


def _help(name: str) -> str:
    return str(ModelSettingsForm.base_fields[name].help_text)


class ServedModelForm(ModelSettingsForm):
    """A model's settings, with a check of its chat template."""

    template_override = TemplateField(
        label="Chat template", help_text=_help("template_override")
    )
    output_parser_override = OutputParserField(
        label="Output parser", help_text=_help("output_parser_override")
    )


class PreviewForm(forms.Form):
    """A template, a conversation and a thinking effort."""

    template = TemplateField(
        rows=20, help_text="Leave it unchanged or empty to use the model file's own."
    )
    output_parser = OutputParserField(
        label="Output parser", help_text=_help("output_parser_override")
    )
    effort = forms.ChoiceField(
        label="Thinking",
        choices=_EFFORTS,
        required=False,
        widget=UnfoldAdminSelectWidget(),
        help_text="The reasoning_effort of a request; none turns thinking off.",
    )
    conversation = ConversationField(
        help_text="The messages and tools of a request, as JSON."
    )


def sample_text(name: str) -> str:
    """Return a sample conversation as text to edit."""
    return json.dumps(SAMPLES[name], indent=2, ensure_ascii=False)

"""The parameters of a chat request that go to the chat template."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from inference.api.body.request_body import Body
from inference.api.chat.tools import Tools
from inference.api.parameters.json_object import AnyJson

_MAX_VARIABLES_BYTES = 16 * 1024

#: OpenAI's reasoning efforts, and others that chat templates know.
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class TemplateParameters(Body):
    """What the chat template gets besides the messages."""

    tools: Tools = []
    """Functions that the model may call. Their parameters are a JSON schema."""
    chat_template_kwargs: Annotated[dict[str, Any], AnyJson(_MAX_VARIABLES_BYTES)] = {}
    """Variables of the model's chat template, such as enable_thinking. Not in OpenAI's
    API."""
    reasoning_effort: Effort | None = None
    """How much the model reasons, as its template names it; none disables reasoning.
    A hint: left out, and named in x-llm-manager-left-out, if the model does not think
    or its template has no variable for it."""

"""Reasoning: how long a model is to think, and where it is told what it thought."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.openai.fields import Choice
from inference.reasoning_effort import EFFORTS

if TYPE_CHECKING:
    from inference.openai.fields import Field

FIELDS: dict[str, Field] = {
    "reasoning_effort": Choice(EFFORTS),
    # llama-server's words.
    "reasoning_format": Choice(("auto", "deepseek", "none")),
}
HELP = {
    "reasoning_effort": "How long the model thinks, in the words of its template; none "
    "switches it off. Refused where the template has no variable for it.",
    "reasoning_format": "auto and deepseek tell what the model thought as "
    "reasoning_content, none leaves it in content, between its tags. Default: auto. "
    "Not in OpenAI's API.",
}

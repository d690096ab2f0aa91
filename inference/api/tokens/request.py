"""The bodies of POST /tokenize, /detokenize and /apply-template."""

from __future__ import annotations

from pydantic import model_validator

from inference.api.body.request_body import Body
from inference.api.body.validation_errors import missing
from inference.api.chat.messages import Messages
from inference.api.chat.template_parameters import TemplateParameters
from inference.api.completions.prompts import Tokens
from inference.api.errors import BadRequest
from inference.api.parameters.value_types import ModelName, Text


class TokenizeRequest(TemplateParameters):
    """A text, or a conversation to render with the model's chat template."""

    model: ModelName
    """Id, alias or file name of a model."""
    content: Text | None = None
    """A text."""
    prompt: Text | None = None
    """vLLM's name for content."""
    messages: Messages | None = None
    """A conversation, instead of content: it is rendered with the model's chat
    template."""
    add_special: bool | None = None
    """Add BOS, EOS and SEP as the model requires. Default: false for content, as in
    llama-server; true for prompt and messages, as in vLLM."""
    add_special_tokens: bool | None = None
    """vLLM's name for add_special."""
    parse_special: bool = True
    """Parse special tokens in the text, such as <|im_end|>, as those tokens."""
    with_pieces: bool = False
    """Return the text of each token too; its bytes if they are not valid UTF-8."""

    @property
    def adds_special(self) -> bool | None:
        """Whether to add the model's special tokens around the text, if given."""
        if self.add_special is None:
            return self.add_special_tokens
        return self.add_special

    @model_validator(mode="after")
    def _check_text(self) -> TokenizeRequest:
        """Refuse no text, several texts, and members of another kind of text."""
        texts = [name for name in _TEXTS if getattr(self, name) is not None]
        if not texts:
            raise missing("content")
        if len(texts) > 1:
            raise BadRequest(
                f"Send one of '{texts[0]}' and '{texts[1]}'.", param=texts[1]
            )
        for name in TemplateParameters.model_fields:
            if name in self.model_fields_set and self.messages is None:
                raise BadRequest(
                    f"'{name}' is only allowed with 'messages'.", param=name
                )
        if self.add_special is not None and self.add_special_tokens is not None:
            raise BadRequest(
                "'add_special' and 'add_special_tokens' mean the same; send one of "
                "them.",
                param="add_special_tokens",
            )
        return self


_TEXTS = ("content", "prompt", "messages")


class DetokenizeRequest(Body):
    """Tokens to turn into text."""

    model: ModelName
    """Id, alias or file name of a model."""
    tokens: Tokens
    """The tokens, by their ids."""


class ApplyTemplateRequest(TemplateParameters):
    """A conversation to render with the model's chat template."""

    model: ModelName
    """Id, alias or file name of a model."""
    messages: Messages
    """The conversation."""

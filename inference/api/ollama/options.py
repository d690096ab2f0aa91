"""The member ``options`` of Ollama's requests, and the members that all of them have.

Source: Ollama's api/types.go and its Python package's ``Options``.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Tag

from inference.api.body.request_body import Body
from inference.api.body.unsupported import Unsupported, hints_left_out
from inference.api.parameters.sampling import SamplingParameters
from inference.api.parameters.structured_output import JsonSchema
from inference.api.parameters.value_types import (
    MAX_TOKENS,
    Between,
    ModelName,
    by_json_type,
)

#: Says how a model is loaded or a context kept, which the server decides.
_Hint = Annotated[Any, Unsupported(may_be_left_out=True)]
#: How long a model stays, as a number of seconds or as Go writes a duration.
_NO_TIME = re.compile(r"0+(\.0*)?(ns|us|µs|ms|s|m|h)?")

Format = Annotated[
    Annotated[Literal["", "json"], Tag("string")]
    | Annotated[JsonSchema, Tag("object")],
    by_json_type("a string or a JSON schema"),
]
Think = Annotated[
    Annotated[bool, Tag("boolean")]
    | Annotated[Literal["low", "medium", "high", "max"], Tag("string")],
    by_json_type("a boolean or a string"),
]


class Options(SamplingParameters):
    """Sampling parameters, and hints on how to load the model."""

    num_predict: Annotated[int, Between(-2, MAX_TOKENS)] | None = None
    """The maximum number of tokens of the answer; -1 and -2 are no limit but the
    context."""
    num_ctx: _Hint = None
    num_keep: _Hint = None
    num_batch: _Hint = None
    num_gpu: _Hint = None
    main_gpu: _Hint = None
    num_thread: _Hint = None
    numa: _Hint = None
    low_vram: _Hint = None
    use_mmap: _Hint = None
    use_mlock: _Hint = None
    f16_kv: _Hint = None
    draft_num_predict: _Hint = None
    embedding_only: Annotated[Any, Unsupported((False,))] = None
    logits_all: Annotated[Any, Unsupported((False,))] = None
    penalize_newline: Annotated[Any, Unsupported((True,))] = None
    tfs_z: Annotated[Any, Unsupported((1, 1.0))] = None
    vocab_only: Annotated[Any, Unsupported((False,))] = None


class ModelRequestBody(Body):
    """A request for a model."""

    model: ModelName
    """Id, alias or file name of a model, as in GET /api/tags; ``:latest`` may
    follow."""
    options: Options = Options()
    """Sampling parameters, each under its name. Those on loading are left out."""
    keep_alive: Annotated[Any, Unsupported(may_be_left_out=True)] = None
    truncate: Annotated[Any, Unsupported((False,), may_be_left_out=True)] = None

    def hints(self) -> list[str]:
        """Return the paths of the hints that have no effect."""
        nested = (f"options.{name}" for name in hints_left_out(self.options))
        return [*hints_left_out(self), *nested]

    @property
    def is_to_unload(self) -> bool:
        """Whether the model should stay for no time at all."""
        return _NO_TIME.fullmatch(str(self.keep_alive)) is not None


class GenerationBody(ModelRequestBody):
    """A request for text."""

    stream: bool = True
    """Send the answer as lines of JSON while it is generated."""
    format: Format = ""
    """What the answer must match: json is any object; or a JSON schema."""
    think: Think | None = None
    """Whether the model thinks before it answers, or how much. Default: the model's
    own."""
    logprobs: bool = False
    """Return the logprob of each token."""
    top_logprobs: Annotated[int, Between(0, 20)] = 0
    """Return this many of the most likely tokens too. Requires logprobs."""
    shift: Annotated[Any, Unsupported((False,), may_be_left_out=True)] = None

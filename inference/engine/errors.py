"""What the engine refuses or cannot do."""


class EngineError(Exception):
    """Base of every error of the engine; ``code`` is its stable name."""

    code = "engine_error"

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


class ModelLoadError(EngineError):
    """The model or its context cannot be created; the message has the reason."""

    code = "model_load_failed"


class InvalidRequest(EngineError):
    """The request can never run on this model; ``param`` names the field."""

    code = "invalid_request"


class ContextExceeded(InvalidRequest):
    """The prompt leaves no room for an answer in the context.

    Its message begins with OpenAI's words, "This model's maximum context length is":
    LiteLLM and others recognise it by them.
    """

    code = "context_length_exceeded"


class ModelReplaced(EngineError):
    """The answer was begun by a model whose file has been replaced since."""

    code = "model_replaced"


class DecodeError(EngineError):
    """llama_decode failed; the sequences of the step are lost, the engine is not."""

    code = "decode_failed"


class GrammarError(EngineError):
    """A sequence cannot go on within its grammar; the others of the step can."""

    code = "constraint_failed"

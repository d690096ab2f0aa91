"""What a caller of the inference client may catch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from llm_manager.lib.errors import INVALID, LLMManagerError

if TYPE_CHECKING:
    from inference.load_progress import LoadProgress


class InferenceError(LLMManagerError):
    """Base of every error of this package.

    ``code`` is the stable name, ``retry_after`` the seconds after which the
    same request may succeed, or None where it never will.
    """

    code = "inference_error"
    #: How far the model is loaded, for a request that its load has kept out.
    loading: LoadProgress | None = None

    def __init__(self, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    def while_loading(self, progress: LoadProgress | None) -> Self:
        """Return this error with how far the model is loaded, if it is being loaded."""
        if progress is not None:
            self.loading = progress
            self.message = f"{self.message} {progress}"
            self.retry_after = progress.seconds_left or self.retry_after
        return self


class EngineUnavailable(InferenceError):
    """No engine can run the request now."""

    code = "engine_unavailable"


class PullRefused(InferenceError):
    """A node that does not fetch a model; the message says why."""

    code = "pull_refused"
    type = INVALID


class AnswerCannotResume(EngineUnavailable):
    """The worker is gone, and the model's file is no longer the one that it had."""

    code = "model_replaced"


class QueueFull(InferenceError):
    """As many requests wait for the model as may."""

    code = "queue_full"


def queue_full_message(model_name: str, waiting: int) -> str:
    """Return what is said to a request that is one too many in line."""
    return (
        f"{waiting} requests wait for the model '{model_name}', as many as may; this "
        f"one would have been number {waiting + 1} in line. Try again later."
    )


class QueueTimeout(InferenceError):
    """The request waited longer than it may."""

    code = "queue_timeout"


class ModelLoadFailed(InferenceError):
    """The model cannot be loaded; the message carries llama.cpp's reason."""

    code = "model_load_failed"


class ModelStopped(InferenceError):
    """An administrator ended the request with its model; the message says who."""

    code = "model_stopped"
    type = INVALID


class ModelUnloaded(ModelStopped):
    """The model was unloaded."""

    code = "model_unloaded"
    type = "server_error"


class ModelDisabled(ModelStopped):
    """The model was disabled."""

    code = "model_disabled"


class ModelDeleted(ModelStopped):
    """The model was deleted."""

    code = "model_deleted"


class WorkerCrashed(InferenceError):
    """The process of a model ended by itself; the message has its last words."""

    code = "worker_crashed"


class RequestCancelled(InferenceError):
    """An administrator ended the request; the message says who."""

    code = "request_cancelled"
    type = "cancelled_error"


class AnswerNotRead(InferenceError):
    """The answer was made much faster than its client reads it."""

    code = "answer_not_read"
    type = INVALID

    def __init__(self) -> None:
        super().__init__(
            "The answer was ended: it was made faster than it was read, and more of it "
            "waited than is kept. Read faster, or ask for fewer logprobs."
        )


class UpstreamError(InferenceError):
    """Base of what goes wrong with an upstream. Its key is in no message."""

    code = "upstream_error"


class UpstreamFailed(UpstreamError):
    """The upstream cannot be reached, fails, or says what cannot be read."""

    code = "upstream_failed"


class UpstreamMisnamed(UpstreamFailed):
    """The upstream answers, but refuses its key, its route or its model's name."""


class UpstreamTimeout(UpstreamError):
    """The upstream has not answered in time."""

    code = "upstream_timeout"
    type = "timeout_error"


class UpstreamBusy(UpstreamError):
    """The upstream takes no request now, or none is sent to it for a while."""

    code = "upstream_busy"


class RequestTimeout(InferenceError):
    """The answer took longer than it may."""

    code = "request_timeout"
    type = "timeout_error"


class RequestRejected(InferenceError):
    """The engine refuses the request as it is; ``param`` names the field."""

    code = "invalid_request"
    type = INVALID

    def __init__(self, message: str, *, code: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


class ContextLengthExceeded(RequestRejected):
    """The prompt does not fit into the model's context; the message has both sizes."""

    code = "context_length_exceeded"

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message, code=self.code, param=param)

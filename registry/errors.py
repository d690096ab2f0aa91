"""The errors of the registry. Each message says what can be done."""

from llm_manager.lib.errors import INVALID, LLMManagerError


class RegistryError(LLMManagerError):
    """Base of every error of this package."""

    code = "registry_error"
    type = INVALID


class InvalidGGUF(RegistryError):
    """The file is not a readable GGUF file; the message is the reason."""

    code = "invalid_gguf"


class ModelNotFound(RegistryError):
    """No registered model has this id, alias or file name."""

    code = "model_not_found"


class AmbiguousName(ModelNotFound):
    """Several registered models have this name."""


class ModelNotServed(ModelNotFound):
    """The registered model of this name answers no requests; the message says why."""

    code = "model_not_served"


class InvalidLoadSetting(RegistryError):
    """A setting that a model cannot be loaded with; ``param`` is its path."""

    code = "invalid_load_setting"

    def __init__(self, message: str, *, param: str, code: str = "") -> None:
        super().__init__(message)
        self.param = param
        self.code = code or self.code

"""The errors of the registry. Each message says what can be done."""


class RegistryError(Exception):
    """Base of every error of this package."""

    code = "registry_error"


class InvalidGGUF(RegistryError):
    """The file is not a readable GGUF file; the message is the reason."""

    code = "invalid_gguf"


class ModelNotFound(RegistryError):
    """No registered model has this id, alias or file name."""

    code = "model_not_found"


class ModelNotServed(ModelNotFound):
    """The registered model of this name answers no requests; the message says why."""

    code = "model_not_served"

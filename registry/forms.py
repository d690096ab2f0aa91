"""The form for a model's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.conf import settings
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError

from registry.load_settings import SETTINGS, default_of, listed
from registry.models import Model, context_at_load

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Model]
else:
    ModelForm = forms.ModelForm

#: Texts for defaults that do not explain themselves.
_MEANINGS = {
    ("n_gpu_layers", -1): "-1 (all)",
    ("n_threads", 0): "one per physical core",
    ("n_threads_batch", 0): "as many as threads",
    ("keep_alive", 0): "0 (never unloaded)",
    ("tensor_split", ()): "by free memory",
    ("rpc_servers", ()): "none",
}
_SAMPLING = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repeat_penalty",
    "max_tokens",
)
_PRICES = ("input_price", "cached_price", "output_price")
_TEMPLATE = ("template_override", "output_parser_override")


def defaults_in_force(model: Model) -> dict[str, str]:
    """Return the default behind each empty setting of this model, by field."""
    config = settings.CONFIG
    loading = {name: default_of(name, config) for name in SETTINGS}
    return {name: _text(name, value) for name, value in loading.items()} | {
        "n_ctx": f"from {context_at_load(model, config.models.default_ctx)}",
        "n_seq_max": f"up to {loading['n_seq_max']}, as memory allows",
        "max_tokens": f"{config.generation.max_tokens}",
        "temperature": f"{config.generation.temperature}",
        "top_p": f"{config.generation.top_p}",
        "top_k": "off",
        "min_p": "off",
        "repeat_penalty": "off",
        "input_price": "free",
        "cached_price": "as input",
        "output_price": "free",
    }


def setting_text(model: Model, name: str) -> str:
    """Return a setting as text: the model's own, or else the default in force."""
    own = getattr(model, name)
    if own is None or own == "":
        return f"Default: {defaults_in_force(model)[name]}"
    return _text(name, own)


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if (name, value) in _MEANINGS:
        return _MEANINGS[name, value]
    if isinstance(value, tuple):
        return ",".join(map(listed, value))
    return str(value)


class ModelSettingsForm(ModelForm):
    """A model's settings; an empty field shows its default."""

    class Meta:
        model = Model
        fields = (
            "is_enabled",
            "n_ctx",
            "draft_model",
            *SETTINGS,
            *_SAMPLING,
            *_PRICES,
            *_TEMPLATE,
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, default in defaults_in_force(self.instance).items():
            field = self.fields.get(name)
            if isinstance(field, forms.NullBooleanField):
                widget = cast("forms.NullBooleanSelect", field.widget)
                widget.choices = [
                    ("unknown", f"Default: {default}"),
                    ("true", "Yes"),
                    ("false", "No"),
                ]
            elif isinstance(field, forms.ChoiceField):
                choices = cast("list[tuple[str, str]]", field.choices)
                field.choices = [("", f"Default: {default}"), *choices[1:]]
            elif field is not None:
                field.widget.attrs["placeholder"] = default

    def add_error(self, field: str | None, error: Any) -> None:
        """Add an error; one about a field outside the form goes to the top of it.

        The model also checks its id, and Django's forms crash on an error of a field
        that they do not have.
        """
        if field is None and hasattr(error, "error_dict"):
            for name, errors in error.error_dict.items():
                known = name in self.fields or name == NON_FIELD_ERRORS
                super().add_error(name if known else None, ValidationError(errors))
        else:
            super().add_error(field, error)


class LoadSettingsForm(ModelSettingsForm):
    """Only the settings that decide how a model is loaded, to be tried, not saved."""

    class Meta(ModelSettingsForm.Meta):
        fields = ("n_ctx", "draft_model", *SETTINGS)

"""The form of a model's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError

from registry.models import FlashAttention, KVType, Model

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Model]
else:
    ModelForm = forms.ModelForm

_CHOICES = {"kv_cache_type": KVType, "flash_attention": FlashAttention}


def defaults_in_force(model: Model) -> dict[str, str]:
    """Return what an empty setting of this model means, by field."""
    config = settings.CONFIG
    context = config["models.default_ctx"]
    if model.context_length:
        context = min(context, model.context_length)
    layers = config["gpu.n_gpu_layers"]
    return {
        "n_ctx": f"{context}",
        "n_seq_max": f"up to {config['engine.n_seq_max']}, as memory allows",
        "n_gpu_layers": f"{layers} (all)" if layers == -1 else f"{layers}",
        "kv_cache_type": f"Default: {config['gpu.kv_cache_type']}",
        "flash_attention": f"Default: {config['gpu.flash_attention']}",
        "n_threads": f"{config['engine.n_threads'] or 'one per physical core'}",
        "keep_alive": f"{config['engine.keep_alive'] or '0 (never unloaded)'}",
        "max_tokens": f"{config['generation.max_tokens']}",
        "temperature": f"{config['generation.temperature']}",
        "top_p": f"{config['generation.top_p']}",
        "top_k": "off",
        "min_p": "off",
        "repeat_penalty": "off",
    }


class ModelSettingsForm(ModelForm):
    """A model's settings; an empty field shows the default that it stands for."""

    class Meta:
        model = Model
        fields = (
            "is_enabled",
            "n_ctx",
            "n_seq_max",
            "keep_alive",
            "n_gpu_layers",
            "kv_cache_type",
            "flash_attention",
            "n_threads",
            "temperature",
            "top_p",
            "top_k",
            "min_p",
            "repeat_penalty",
            "max_tokens",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, default in defaults_in_force(self.instance).items():
            field = self.fields.get(name)
            if isinstance(field, forms.ChoiceField):
                field.choices = [("", default), *_CHOICES[name].choices]
            elif field is not None:
                field.widget.attrs["placeholder"] = default

    def add_error(self, field: str | None, error: Any) -> None:
        """Add an error, one about a field that only the scan writes to the top.

        The model checks its own id too; Django's forms crash on an error that
        belongs to none of their fields.
        """
        if field is None and hasattr(error, "error_dict"):
            for name, errors in error.error_dict.items():
                known = name in self.fields or name == NON_FIELD_ERRORS
                super().add_error(name if known else None, ValidationError(errors))
        else:
            super().add_error(field, error)

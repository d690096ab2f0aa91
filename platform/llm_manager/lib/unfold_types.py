"""unfold's admin classes with the types of Django's.

unfold carries no type information; what it adds to Django's classes are class
attributes and templates, so Django's stubs describe its classes well enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin, TabularInline
else:
    from unfold import admin as unfold

    class ModelAdmin(unfold.ModelAdmin):
        """unfold's ModelAdmin that may be written as ``ModelAdmin[Model]``."""

        def __class_getitem__(cls, parameters):
            return cls

    class TabularInline(unfold.TabularInline):
        """unfold's TabularInline that may be written with its two models."""

        def __class_getitem__(cls, parameters):
            return cls


__all__ = ["ModelAdmin", "TabularInline"]

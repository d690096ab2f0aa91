"""unfold's admin classes, typed like Django's.

unfold has no type information. It adds only class attributes and templates to
Django's classes, so Django's stubs fit.
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

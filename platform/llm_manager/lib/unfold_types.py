"""unfold's admin classes and its login form, typed like Django's.

unfold has no type information. It adds only class attributes and templates to
Django's classes, so Django's stubs fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin, TabularInline
    from django.contrib.admin.forms import AdminAuthenticationForm as AuthenticationForm
else:
    from unfold import admin as unfold
    from unfold.forms import AuthenticationForm

    class ModelAdmin(unfold.ModelAdmin):
        """unfold's ModelAdmin that may be written as ``ModelAdmin[Model]``."""

        def __class_getitem__(cls, parameters):
            return cls

    class TabularInline(unfold.TabularInline):
        """unfold's TabularInline that may be written with its two models."""

        def __class_getitem__(cls, parameters):
            return cls


__all__ = ["AuthenticationForm", "ModelAdmin", "TabularInline"]

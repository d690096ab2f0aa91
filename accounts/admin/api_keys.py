"""The admin of API keys. A key's secret is shown only once."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html

from accounts.admin.key_capture import capture_view, may_capture
from accounts.admin.key_import import import_view
from accounts.admin.key_rotation import rotate_view
from accounts.admin.key_secret_page import created_page
from accounts.admin.limits import KeyLimitInline, limits_of_key
from accounts.forms import LIMITS_IN_FORCE, ApiKeyForm, NewApiKeyForm
from accounts.models import ApiKey
from accounts.services import api_key_create
from llm_manager.lib.badges import badge, chips
from llm_manager.lib.readonly_fields import shown_as, with_fields
from llm_manager.lib.unfold_types import ModelAdmin
from registry.templatetags.units import ago

if TYPE_CHECKING:
    from collections.abc import Callable

    from django import forms
    from django.db.models import QuerySet
    from django.urls import URLPattern
    from django.utils.safestring import SafeString


#: Lines of a key's page about where it was used from.
_MAX_ADDRESSES = 20


class ExpiryFilter(admin.SimpleListFilter):
    """Keys by when they expire."""

    title = "expiry"
    parameter_name = "expires"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[Any, str]]:
        """Return the times to choose from."""
        return [
            ("7", "Within 7 days"),
            ("30", "Within 30 days"),
            ("past", "Expired"),
            ("never", "Never"),
        ]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[ApiKey]
    ) -> QuerySet[ApiKey]:
        """Return the keys that expire then."""
        now = timezone.now()
        match self.value():
            case "7" | "30" as days:
                end = now + timedelta(days=int(days))
                return queryset.filter(
                    is_active=True, expires_at__gt=now, expires_at__lte=end
                )
            case "past":
                return queryset.filter(expires_at__lte=now)
            case "never":
                return queryset.filter(expires_at=None)
        return queryset


@admin.register(ApiKey)
class ApiKeyAdmin(ModelAdmin[ApiKey]):
    """API keys. They can be edited while they are active, and revoked for good."""

    form = ApiKeyForm
    search_fields = ("name", "prefix", "owner__username")
    search_help_text = "Name, prefix or owner"
    list_display = (
        "label",
        "owner",
        "scope_chips",
        "model_count",
        "expiry",
        "last_used",
        "state",
    )
    list_filter = (
        "is_active",
        ExpiryFilter,
        ("owner", admin.RelatedOnlyFieldListFilter),
        ("team", admin.RelatedOnlyFieldListFilter),
    )
    list_select_related = ("owner", "team__group")
    list_per_page = 50
    actions = ("revoke_keys",)
    warn_unsaved_form = True
    _limits: tuple[str, Any] = (
        "Limits",
        {
            "fields": (
                ("all_models", "allowed_models"),
                "allowed_networks",
                "rate_limit",
                "weight",
                "expires_at",
            )
        },
    )
    _notes: tuple[str, Any] = ("Notes", {"fields": ("notes",)})
    add_fieldsets = (
        (None, {"fields": ("name", "owner", "team", "scopes")}),
        _limits,
        _notes,
    )
    fieldsets = (
        (None, {"fields": ("name", "team", "scopes")}),
        _limits,
        _notes,
        (
            "About this key",
            {
                "fields": (
                    ("state", "prefix"),
                    ("owner", "created_by"),
                    ("created_at", "last_used_at"),
                    ("rotated_from", "revoked_at"),
                    "captured",
                    "used_from",
                )
            },
        ),
        ("Limits in force", {"fields": ("in_force",)}),
    )
    readonly_fields = (
        "scope_chips",
        "state",
        "prefix",
        "created_by",
        "created_at",
        "last_used_at",
        "rotated_from",
        "revoked_at",
        "captured",
        "used_from",
        "in_force",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        """Return the keys with the number of their allowed models."""
        return (
            super()
            .get_queryset(request)
            .annotate(num_models=Count("allowed_models"))
            .select_related("owner")
        )

    def get_inlines(self, request: HttpRequest, obj: ApiKey | None) -> list[Any]:
        """Return the limits."""
        return [KeyLimitInline]

    @admin.display(description="of the key, its owner and its team")
    def in_force(self, key: ApiKey) -> SafeString | str:
        """Return all limits that hold for the key, with what is used now."""
        return limits_of_key(key)

    def get_fieldsets(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        """Return the groups of fields; who may not edit sees what is in force."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return fieldsets
        in_force = {
            name: shown_as(ApiKey, name, text) for name, text in LIMITS_IN_FORCE.items()
        }
        return with_fields(fieldsets, {"scopes": "scope_chips", **in_force})

    def get_readonly_fields(
        self, request: HttpRequest, obj: ApiKey | None = None
    ) -> tuple[str, ...]:
        """Return the read-only fields; the owner is one after creation."""
        return self.readonly_fields if obj is None else (*self.readonly_fields, "owner")

    def has_change_permission(
        self, request: HttpRequest, obj: ApiKey | None = None
    ) -> bool:
        """Return False for a revoked key, which is read-only."""
        allowed = super().has_change_permission(request, obj)
        return allowed and (obj is None or obj.is_active)

    def has_delete_permission(
        self, request: HttpRequest, obj: ApiKey | None = None
    ) -> bool:
        """Return True only for superusers: deleting a key also removes its history."""
        return bool(request.user.is_active and request.user.is_superuser)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Return the form without the button 'Save and add another'."""
        context["show_save_and_add_another"] = False
        context["may_capture"] = may_capture(request)
        form = context["adminform"].form
        if isinstance(form, NewApiKeyForm) and form.is_bound and not form.errors:
            # Its limits were refused: no key was made.
            form.reopen()
        return super().render_change_form(request, context, *args, **kwargs)

    # Creation -----------------------------------------------------------------

    def get_form(
        self,
        request: HttpRequest,
        obj: ApiKey | None = None,
        change: bool = False,  # noqa: FBT001, FBT002
        **kwargs: Any,
    ) -> type[forms.ModelForm[ApiKey]]:
        """Return the form class; that of a new key has the request, for its session."""
        if obj is None:
            form = type("Form", (NewApiKeyForm,), {"request": request})
            kwargs["form"] = form
        return super().get_form(request, obj, change, **kwargs)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Return the current user as the owner."""
        return {
            "owner": request.user.pk,
            **super().get_changeform_initial_data(request),
        }

    def save_model(
        self, request: HttpRequest, obj: ApiKey, form: Any, change: Any
    ) -> None:
        """Create a new key, or save the changed columns of an existing one.

        Saving every column could undo a revocation that happened meanwhile.
        """
        if change:
            columns = [name for name in form.changed_data if name != "allowed_models"]
            if columns:
                obj.save(update_fields=columns)
            return
        key, secret = api_key_create(
            name=obj.name,
            owner=obj.owner,
            scopes=obj.scopes,
            models=None if obj.all_models else form.cleaned_data["allowed_models"],
            team=obj.team,
            allowed_networks=obj.allowed_networks,
            expires_at=obj.expires_at,
            rate_limit=obj.rate_limit,
            weight=obj.weight,
            notes=obj.notes,
            created_by=request.user if isinstance(request.user, User) else None,
        )
        # The admin continues with ``obj``, so it becomes the created key. Django calls
        # response_add with the same object, which reads the secret.
        vars(obj).update(vars(key), secret_text=secret)

    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Return the page that shows the secret, as the response to the form.

        A redirect would need the secret to be stored until the next request, in the
        session or in a cookie.
        """
        secret: str = obj.secret_text  # type: ignore[attr-defined]
        return created_page(self, request, obj, secret)

    def add_view(
        self,
        request: HttpRequest,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Return the form for a new key, with a single save button."""
        return super().add_view(
            request,
            form_url,
            {"show_save_and_continue": False, **(extra_context or {})},
        )

    # Revocation ---------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """Return the URLs of Django's admin, and of what it does to keys."""
        views: dict[str, Callable[..., HttpResponse]] = {
            "import/": partial(import_view, self),
            "<path:object_id>/revoke/": self.revoke_view,
            "<path:object_id>/rotate/": partial(rotate_view, self),
            "<path:object_id>/capture/": partial(capture_view, self),
        }
        own = [
            path(
                route,
                self.admin_site.admin_view(view),
                name=f"accounts_apikey_{route.rstrip('/').rpartition('/')[2]}",
            )
            for route, view in views.items()
        ]
        return [*own, *super().get_urls()]

    def revoke_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask for confirmation (GET), or revoke the key (POST)."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        key = self.get_object(request, unquote(object_id))
        if key is None:
            raise Http404
        here = reverse("admin:accounts_apikey_change", args=[key.pk])
        if not key.is_active:
            self.message_user(request, f"{key} is already revoked.", messages.INFO)
            return HttpResponseRedirect(here)
        if request.method == "POST":
            self._revoke(request, key)
            self.message_user(request, f"{key} is revoked.", messages.SUCCESS)
            return HttpResponseRedirect(here)
        return self._confirmation(request, [key], here)

    @admin.action(description="Revoke", permissions=["change"])
    def revoke_keys(
        self, request: HttpRequest, queryset: QuerySet[ApiKey]
    ) -> HttpResponse | None:
        """Revoke the selected keys after a confirmation."""
        active = list(queryset.filter(is_active=True))
        if not active:
            self.message_user(request, "These keys are already revoked.", messages.INFO)
            return None
        if "confirmed" not in request.POST:
            return self._confirmation(
                request, active, reverse("admin:accounts_apikey_changelist")
            )
        for key in active:
            self._revoke(request, key)
        plural = "key is" if len(active) == 1 else "keys are"
        self.message_user(request, f"{len(active)} {plural} revoked.", messages.SUCCESS)
        return None

    def _revoke(self, request: HttpRequest, key: ApiKey) -> None:
        key.revoke(by=request.user if isinstance(request.user, User) else None)
        self.log_change(request, key, "Revoked.")

    def _confirmation(
        self, request: HttpRequest, chosen: list[ApiKey], back: str
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "Revoke",
            "opts": self.opts,
            "keys": chosen,
            "back": back,
            "checkbox": ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "admin/accounts/apikey/revoke.html", context)

    # Columns ------------------------------------------------------------------

    @admin.display(description="key", ordering="name")
    def label(self, key: ApiKey) -> SafeString:
        """Return the name, and below it the prefix."""
        return format_html(
            '<span class="lm-two"><span>{}</span><small class="lm-mono">{}…</small>'
            "</span>",
            key.name,
            key.prefix,
        )

    @admin.display(description="scopes")
    def scope_chips(self, key: ApiKey) -> SafeString | str:
        """Return the scopes as labels."""
        return chips(key.scopes)

    @admin.display(description="models", ordering="num_models")
    def model_count(self, key: ApiKey) -> str:
        """Return how many models the key may use by itself."""
        return "all" if key.all_models else str(getattr(key, "num_models", 0))

    @admin.display(description="expires", ordering="expires_at")
    def expiry(self, key: ApiKey) -> str:
        """Return when the key expires."""
        return f"{key.expires_at:%Y-%m-%d %H:%M} UTC" if key.expires_at else "never"

    @admin.display(description="last used", ordering="last_used_at")
    def last_used(self, key: ApiKey) -> str:
        """Return how long ago the key was used."""
        return ago(key.last_used_at)

    @admin.display(description="bodies captured")
    def captured(self, key: ApiKey) -> str:
        """Return until when the bodies of its requests are captured."""
        if key.capture_until is None or not key.is_captured:
            return "no"
        return f"until {key.capture_until:%Y-%m-%d %H:%M} UTC, by {key.capture_by}"

    @admin.display(description="used from")
    def used_from(self, key: ApiKey) -> str:
        """Return the last days and addresses, one per line."""
        rows = key.addresses.all()[:_MAX_ADDRESSES]
        return "\n".join(f"{row.day} {row.address}" for row in rows) or "-"

    @admin.display(description="state", ordering="is_active")
    def state(self, key: ApiKey) -> SafeString:
        """Return the key's state as a label."""
        if not key.is_active:
            return badge("revoked", "danger")
        if key.is_expired:
            return badge("expired", "warning")
        return badge("active", "success")

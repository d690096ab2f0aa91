"""A user's own keys: list, create within the team's bounds, rotate, revoke."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache

from accounts.forms import RotateForm
from accounts.keys.key_access import allowed_model_ids
from accounts.models import ApiKey, CapturedBody, Scope, Team
from accounts.pages.forms import OwnKeyForm
from accounts.services import api_key_create, api_key_rotate
from accounts.usage.summary import UsagePeriod, today, usage_summary
from registry.models import Model

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.contrib.auth.models import User
    from django.http import HttpRequest, HttpResponse

    from accounts.usage.summary import UsageGroup

#: Active keys that a user may make without an administrator.
MAX_KEYS = 50
_ENOUGH = f"You have {MAX_KEYS} active keys; revoke some before you make others."
_USAGE_DAYS = 30
_EXAMPLE = "smollm2-135m-instruct"


@never_cache
@login_required
def index(request: HttpRequest) -> HttpResponse:
    """Show the user's keys and teams, the API's address, and examples to paste."""
    user = cast("User", request.user)
    own = ApiKey.objects.filter(owner=user)
    keys = list(own.select_related("team__group", "capture_by"))
    used = _used_by(user)
    kept = {row["key"]: row for row in CapturedBody.objects.kept_of(user)}
    context = {
        "title": "Your account",
        "keys": [(key, used.get(key.prefix), kept.get(key.pk)) for key in keys],
        "days": _USAGE_DAYS,
        "teams": Team.objects.of_member(user).select_related("group"),
        "base_url": request.build_absolute_uri("/v1"),
        "example_model": _example_model(keys),
    }
    return render(request, "account/index.html", context)


def _used_by(user: User) -> dict[str, UsageGroup]:
    """Return what the user's keys used of late, by their prefixes. One query."""
    last = today()
    period = UsagePeriod(last - timedelta(days=_USAGE_DAYS - 1), last)
    sums = usage_summary(period, ("key",), owner=user.get_username())
    return {group["key"]: group for group in sums}


def _example_model(keys: Iterable[ApiKey]) -> str:
    for key in keys:
        if not key.is_usable or Scope.INFERENCE not in key.scopes:
            continue
        models = Model.objects.servable()
        allowed = allowed_model_ids(key)
        if allowed is not None:
            models = models.filter(pk__in=allowed)
        name = models.values_list("name", flat=True).first()
        if name is not None:
            return name
    return _EXAMPLE


@never_cache
@login_required
def new(request: HttpRequest) -> HttpResponse:
    """Show the form of a new key (GET), or create it and show its secret (POST)."""
    user = cast("User", request.user)
    form = OwnKeyForm(request.POST or None, user=user, request=request)
    if _has_enough(user):
        messages.error(request, _ENOUGH)
        return redirect("account")
    if form.is_valid():
        values = form.cleaned_data
        try:
            key, secret = api_key_create(
                name=values["name"],
                owner=user,
                team=values["team"],
                scopes=[Scope.INFERENCE],
                models=None if values["all_models"] else values["models"],
                allowed_networks=values["allowed_networks"],
                expires_at=values["expires_on"],
                notes=values["notes"],
                created_by=user,
            )
        except ValidationError as error:
            form.reopen()
            form.add_error(None, error.messages)
        else:
            return _secret_page(request, key, secret)
    context = {
        "title": "New key",
        "form": form,
        "has_teams": Team.objects.of_member(user).exists(),
    }
    return render(request, "account/key_form.html", context)


@never_cache
@login_required
def rotate(request: HttpRequest, prefix: str) -> HttpResponse:
    """Ask for the grace period (GET), or rotate the key and show its secret (POST)."""
    user = cast("User", request.user)
    key = _own_key(request, prefix)
    if not key.is_usable:
        messages.info(request, f"{key} is revoked or expired; create a key instead.")
        return redirect("account")
    form = RotateForm(request.POST or None, request=request)
    if form.is_valid():
        grace = form.cleaned_data["grace"]
        try:
            # Without a grace period, the new key takes the place of the old one.
            if grace and _has_enough(user):
                raise ValidationError(_ENOUGH)
            new_key, secret = api_key_rotate(key=key, grace=grace, by=user)
        except ValidationError as error:
            form.reopen()
            form.add_error(None, error.messages)
        else:
            return _secret_page(request, new_key, secret)
    context = {"title": "Rotate", "form": form, "key": key}
    return render(request, "account/rotate.html", context)


@never_cache
@login_required
def revoke(request: HttpRequest, prefix: str) -> HttpResponse:
    """Ask for confirmation (GET), or revoke the key (POST)."""
    key = _own_key(request, prefix)
    if request.method == "POST":
        key.revoke(by=cast("User", request.user))
        messages.success(request, f"{key} is revoked.")
        return redirect("account")
    return render(request, "account/revoke.html", {"title": "Revoke", "key": key})


def _has_enough(user: User) -> bool:
    keys = ApiKey.objects.usable().filter(owner=user, created_by=user)
    return keys.count() >= MAX_KEYS


def _own_key(request: HttpRequest, prefix: str) -> ApiKey:
    """Return the user's key with this prefix. Raises Http404, also for others' keys."""
    keys = ApiKey.objects.select_related("team__group", "owner")
    return get_object_or_404(keys, owner=request.user, prefix=prefix)


def _secret_page(request: HttpRequest, key: ApiKey, secret: str) -> HttpResponse:
    context = {
        "title": "Your key",
        "key": key,
        "secret": secret,
        "base_url": request.build_absolute_uri("/v1"),
    }
    return render(request, "account/secret.html", context)

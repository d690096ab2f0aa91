"""The admin's name, colours and sidebar: the setting ``UNFOLD``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.templatetags.static import static
from django.urls import reverse_lazy

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest


def _asset(name: str) -> Callable[[HttpRequest], str]:
    # Called for each request: the URL of static files is not known at import.
    return lambda request: static(f"llm_manager/{name}")


def _may_view(permission: str) -> Callable[[HttpRequest], bool]:
    app, model = permission.split(".")
    return lambda request: (
        request.user.has_perm(f"{app}.view_{model}")
        or request.user.has_perm(f"{app}.change_{model}")
    )


def _item(title: str, icon: str, permission: str) -> dict[str, Any]:
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{permission.replace('.', '_')}_changelist"),
        "permission": _may_view(permission),
    }


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "LLM Manager",
    "SITE_HEADER": "LLM Manager",
    "SITE_SUBHEADER": "GGUF models, one API",
    "SITE_URL": None,
    "SITE_ICON": _asset("icon.svg"),
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "sizes": "any",
            "type": "image/svg+xml",
            "href": _asset("icon.svg"),
        }
    ],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "LOGIN": {"form": "accounts.limits.login.LoginForm"},
    "BORDER_RADIUS": "8px",
    "DASHBOARD_CALLBACK": "llm_manager.dashboard.page.dashboard",
    "STYLES": [_asset("admin.css")],
    "SCRIPTS": [
        _asset("live.js"),
        _asset("copy.js"),
        _asset("estimate.js"),
        _asset("labels.js"),
    ],
    "COLORS": {
        "primary": {
            "50": "oklch(96.2% .018 272.314)",
            "100": "oklch(93% .034 272.788)",
            "200": "oklch(87% .065 274.039)",
            "300": "oklch(78.5% .115 274.713)",
            "400": "oklch(67.3% .182 276.935)",
            "500": "oklch(58.5% .233 277.117)",
            "600": "oklch(51.1% .262 276.966)",
            "700": "oklch(45.7% .24 277.023)",
            "800": "oklch(39.8% .195 277.366)",
            "900": "oklch(35.9% .144 278.697)",
            "950": "oklch(25.7% .09 281.288)",
        },
    },
    "SIDEBAR": {
        "navigation": [
            {
                "items": [
                    {
                        "title": "Dashboard",
                        "icon": "dashboard",
                        "link": reverse_lazy("admin:index"),
                    }
                ]
            },
            {
                "title": "Inference",
                "items": [
                    _item("Models", "deployed_code", "registry.model"),
                    _item("Upstreams", "cloud", "registry.upstream"),
                    _item("Upstream models", "cloud_queue", "registry.upstreammodel"),
                    _item("Routes", "alt_route", "registry.route"),
                    _item("Downloads", "download", "registry.download"),
                    _item("Scans", "radar", "registry.scanrun"),
                    _item("Engine", "memory", "inference.worker"),
                    _item("Health", "monitor_heart", "inference.enginenode"),
                    {
                        "title": "Playground",
                        "icon": "forum",
                        "link": reverse_lazy("playground"),
                        "permission": lambda request: request.user.has_perm(
                            "accounts.use_playground"
                        ),
                    },
                ],
            },
            {
                "title": "Usage",
                "items": [
                    _item("Running", "pending", "inference.runningrequest"),
                    _item("Batches", "stacks", "accounts.batch"),
                    _item("Requests", "receipt_long", "accounts.usagerecord"),
                    _item("Days", "calendar_month", "accounts.usageday"),
                ],
            },
            {
                "title": "Access",
                "items": [
                    _item("API keys", "key", "accounts.apikey"),
                    _item("Teams", "groups", "accounts.team"),
                    _item("Limits", "speed", "accounts.limit"),
                    _item("Notices", "notifications", "accounts.notice"),
                    _item("Users", "person", "auth.user"),
                    _item("Groups", "group", "auth.group"),
                    _item("Invitations", "mail", "accounts.invitation"),
                    _item("Second factors", "phonelink_lock", "mfa.authenticator"),
                    _item("Audit log", "history", "auditlog.logentry"),
                ],
            },
        ],
    },
}

"""System checks for configurations that load but are a mistake, each with a hint.

They look only at this process and its files, not at Redis or the database.
"""

from __future__ import annotations

import difflib
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as CheckWarning

from accounts.notices.webhook import can_sign
from inference.rpc.messages import LEAST_SECRET
from llm_manager.config.schema import KEYS, Config
from llm_manager.config.variables import ENVIRONMENT_PREFIX, environment_name
from llm_manager.launcher.listening import is_loopback
from llm_manager.lib.tracing.choice import choice

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from django.apps import AppConfig

#: Variables that are not keys of the schema.
_OTHER_VARIABLES = {
    f"{ENVIRONMENT_PREFIX}{name}" for name in ("CONFIG", "SECRET_KEY", "URL", "KEY")
}


@register(Tags.files)
def check_models_directories(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    """Check the models directories."""
    config: Config = settings.CONFIG
    directories = list(config.models.extra_dirs)
    if config.models.dir is not None:
        directories.insert(0, config.models_dir)
    elif config.models_dir.exists():
        # The default one is created when it is needed.
        directories.insert(0, config.models_dir)
    return [
        message
        for directory in directories
        if (message := _check_directory(directory)) is not None
    ]


def _check_directory(directory: Path) -> CheckMessage | None:
    if not directory.exists():
        return CheckWarning(
            f"The models directory {directory} does not exist.",
            hint="Create it, or correct models.dir or models.extra_dirs.",
            id="llm_manager.W001",
        )
    if not directory.is_dir():
        return Error(
            f"The models directory {directory} is a file.",
            hint="Set it to the folder that contains the GGUF files.",
            id="llm_manager.E001",
        )
    if not os.access(directory, os.R_OK | os.X_OK):
        return Error(
            f"The models directory {directory} cannot be read.",
            hint="Give the user that runs the server permission to read it.",
            id="llm_manager.E002",
        )
    return None


@register()
def check_traces(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    """Check that the OTEL_… variables can be obeyed."""
    fault = choice().fault
    if not fault:
        return []
    hint = "No traces are sent until then."
    return [CheckWarning(fault, hint=hint, id="llm_manager.W006")]


@register(Tags.security)
def check_exposure(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    """Check what a server that other machines can reach leaves open."""
    config: Config = settings.CONFIG
    if is_loopback(config.server.host):
        return []
    messages: list[CheckMessage] = []
    if "*" in config.server.allowed_hosts:
        messages.append(
            CheckWarning(
                "Other machines can reach the server, and it answers to any host name.",
                hint="List its host names in server.allowed_hosts.",
                id="llm_manager.W002",
            )
        )
    if not config.auth.required:
        messages.append(
            CheckWarning(
                "Other machines can reach the server, and it requires no API key.",
                hint="Set auth.required to true, or server.host to 127.0.0.1.",
                id="llm_manager.W003",
            )
        )
    return messages


@register(Tags.security)
def check_https(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    """Check that the server can know what came over https."""
    config: Config = settings.CONFIG
    https = config.https
    if config.server.trusted_proxies or not (https.redirect or https.hsts_seconds):
        return []
    return [
        Error(
            "https.redirect and https.hsts_seconds need a proxy that ends TLS, and "
            "server.trusted_proxies is 0: every page would be redirected again.",
            hint="Set server.trusted_proxies to 1 and X-Forwarded-Proto in the proxy.",
            id="llm_manager.E003",
        )
    ]


@register(Tags.security)
def check_sign_in(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    """Check that people can log in, and that a provider can be trusted."""
    config: Config = settings.CONFIG
    oidc = config.oidc
    messages: list[CheckMessage] = []
    if not config.auth.passwords and not oidc.issuer:
        messages.append(
            Error(
                "Nobody can log in: auth.passwords is false, and there is no provider.",
                hint="Set oidc.issuer, or auth.passwords to true.",
                id="llm_manager.E004",
            )
        )
    if oidc.issuer and not (oidc.client_id and oidc.client_secret):
        messages.append(
            Error(
                "oidc.issuer is set without oidc.client_id or oidc.client_secret.",
                hint="Register this server at the provider; it gives you both.",
                id="llm_manager.E005",
            )
        )
    url = urlsplit(oidc.issuer)
    if url.scheme == "http" and not is_loopback(url.hostname or ""):
        messages.append(
            CheckWarning(
                "The sign-in provider is asked over http, which anyone between can "
                "change.",
                hint="Set oidc.issuer to its https URL.",
                id="llm_manager.W005",
            )
        )
    return messages


@register(Tags.security)
def check_webhook(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    """Check that what is sent to the webhook can be signed."""
    notices = settings.CONFIG.notices
    if notices.webhook_url is None or can_sign(notices.webhook_secret):
        return []
    return [
        Error(
            "notices.webhook_url needs a secret to sign with, and "
            "notices.webhook_secret is empty, shorter than 16 characters, or not "
            "base64 after 'whsec_'.",
            hint="Make one with: openssl rand -hex 32",
            id="llm_manager.E006",
        )
    ]


@register(Tags.security)
def check_rpc_servers(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    """Check that RPC servers are asked with a secret that nobody guesses."""
    rpc = settings.CONFIG.rpc
    if not rpc.servers or len(rpc.secret) >= LEAST_SECRET:
        return []
    return [
        Error(
            "rpc.servers is set, and rpc.secret is shorter than "
            f"{LEAST_SECRET} characters.",
            hint="Make one with: openssl rand -hex 32",
            id="llm_manager.E007",
        )
    ]


@register()
def check_environment(
    app_configs: Sequence[AppConfig] | None, **kwargs: Any
) -> list[CheckMessage]:
    """Check for variables with our prefix that are not settings."""
    known = {environment_name(key) for key in KEYS} | _OTHER_VARIABLES
    unknown = (
        name
        for name in sorted(os.environ)
        if name.startswith(ENVIRONMENT_PREFIX) and name not in known
    )
    messages: list[CheckMessage] = []
    for name in unknown:
        nearest = difflib.get_close_matches(name, known, n=1)
        messages.append(
            CheckWarning(
                f"The environment variable {name} is not a setting.",
                hint=f"Did you mean {nearest[0]}?" if nearest else None,
                id="llm_manager.W004",
            )
        )
    return messages

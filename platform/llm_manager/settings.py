"""Django settings, made from the configuration."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

import dj_database_url
from corsheaders.defaults import default_headers
from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.core.exceptions import ImproperlyConfigured

from llm_manager.config.network_silence import (
    cache_options,
    postgresql_options,
    redis_host,
)
from llm_manager.config.reading import ConfigError, load_config
from llm_manager.config.redis_socket import socket_url
from llm_manager.lib.machine.addresses import own_addresses
from llm_manager.unfold import UNFOLD as UNFOLD_SETTINGS

try:
    CONFIG = load_config()
except ConfigError as error:
    raise ImproperlyConfigured(str(error)) from None
if not CONFIG.models.use_subprocess:
    raise ImproperlyConfigured(
        "models.use_subprocess: false is for the Python API only; a server runs every "
        "model in a process of its own."
    )

PACKAGE_DIR = Path(__file__).resolve().parent
DATA_DIR = CONFIG.data_dir
MODELS_DIR = CONFIG.models_dir
CACHE_DIR = CONFIG.cache_dir


# Secret key -----------------------------------------------------------------


def _secret_key() -> str:
    """Return the secret key, created once and stored in the data directory."""
    given = os.environ.get("LLM_MANAGER_SECRET_KEY")
    if given:
        return given
    file = DATA_DIR / "secret_key"
    try:
        if not file.exists():
            DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
            _make_secret_key(file)
        return file.read_text(encoding="ascii")
    except OSError as error:
        raise ImproperlyConfigured(
            f"The data directory {DATA_DIR} cannot be used: {error.strerror}."
        ) from None


def _make_secret_key(file: Path) -> None:
    # Of several processes that start together, only one links its key, and none ever
    # sees a file that is incomplete or, on a full disk, empty.
    with tempfile.NamedTemporaryFile(dir=file.parent) as draft:
        draft.write(secrets.token_urlsafe(50).encode("ascii"))
        draft.flush()
        with contextlib.suppress(FileExistsError):
            os.link(draft.name, file)


SECRET_KEY = _secret_key()
DEBUG = False
# By its addresses too: a scraper and an orchestrator's probe know no name of it, and a
# browser that was led here by a foreign name sends that name.
ALLOWED_HOSTS = [*CONFIG.server.allowed_hosts, *own_addresses()]

# Applications ---------------------------------------------------------------

INSTALLED_APPS = [
    "daphne",
    "llm_manager",
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "corsheaders",
    "django_prometheus",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "auditlog",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.mfa",
    "registry",
    "accounts",
    "inference",
]
# Requests whose route leads to an ApiView pass these and no others, all of them in the
# event loop: docs/adr/0011-a-short-way-for-the-api.md.
API_MIDDLEWARE = [
    "llm_manager.web.prometheus_middleware.BeforeMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "llm_manager.web.prometheus_middleware.AfterMiddleware",
]
# All other requests, the admin's above all.
MIDDLEWARE = [
    "llm_manager.web.prometheus_middleware.BeforeMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.audit.middleware.AuditMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "llm_manager.web.pages.null_characters.NullCharacterMiddleware",
    "llm_manager.web.prometheus_middleware.AfterMiddleware",
]
ROOT_URLCONF = "llm_manager.urls"
ASGI_APPLICATION = "llm_manager.web.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# In a wheel the templates are inside the package, in a checkout at the root.
TEMPLATES_DIR = PACKAGE_DIR / "templates"
if not TEMPLATES_DIR.is_dir():
    TEMPLATES_DIR = PACKAGE_DIR.parents[1] / "templates"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [TEMPLATES_DIR],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "accounts.pages.context.look",
            ]
        },
    }
]
STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"

# Data -----------------------------------------------------------------------

try:
    DATABASES = {
        "default": dj_database_url.parse(
            CONFIG.database.url or f"sqlite:///{quote(str(DATA_DIR / 'db.sqlite3'))}",
            conn_max_age=60,
            conn_health_checks=True,
        )
    }
except ValueError as error:
    raise ImproperlyConfigured(f"database.url: {error}") from None
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # Readers never wait for a writer; a writer waits for the one before it.
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
elif DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
    DATABASES["default"]["OPTIONS"] = postgresql_options(
        DATABASES["default"].get("OPTIONS", {})
    )
# The same databases, counted and timed for /metrics.
DATABASES["default"]["ENGINE"] = DATABASES["default"]["ENGINE"].replace(
    "django.db.backends.", "django_prometheus.db.backends."
)

REDIS_URL = CONFIG.redis.url or socket_url(DATA_DIR)
try:
    REDIS_HOST = redis_host(REDIS_URL)
except ValueError as error:
    raise ImproperlyConfigured(f"redis.url: {error}") from None
CACHES = {
    "default": {
        "BACKEND": "llm_manager.lib.redis.cache.CountedRedisCache",
        # Not as a text: Django would split the one of several Sentinels.
        "LOCATION": [REDIS_URL],
        "OPTIONS": cache_options(REDIS_URL),
        "KEY_PREFIX": "llm-manager",
    }
}
CHANNEL_LAYERS = {
    # Reply frames and control messages: at most once, hence the sequence numbers.
    "default": {
        "BACKEND": "llm_manager.lib.redis.pubsub.PatientPubSubLayer",
        "CONFIG": {"hosts": [REDIS_HOST], "prefix": "llm-manager."},
    },
    # Requests: competing consumers, a capacity (ChannelFull), an expiry.
    "queue": {
        "BACKEND": "channels_redis.core.RedisChannelLayer",
        "CONFIG": {
            "hosts": [REDIS_HOST],
            "prefix": "llm-manager.",
            "capacity": CONFIG.engine.queue_size,
            "expiry": CONFIG.engine.queue_timeout,
        },
    },
}

# HTTP -----------------------------------------------------------------------

DATA_UPLOAD_MAX_MEMORY_SIZE = CONFIG.limits.max_body_mb * 1024 * 1024
CORS_ALLOW_ALL_ORIGINS = "*" in CONFIG.server.cors_origins
CORS_ALLOWED_ORIGINS = [
    origin for origin in CONFIG.server.cors_origins if origin != "*"
]
CORS_EXPOSE_HEADERS = [
    "x-request-id",
    # The same, under Anthropic's name.
    "request-id",
    "openai-processing-ms",
    "retry-after",
    "x-should-retry",
    "x-ratelimit-cost-requests",
    *(
        f"x-ratelimit-{what}-{of}"
        for what in ("limit", "remaining", "reset")
        for of in ("requests", "tokens")
    ),
    "x-llm-manager-left-out",
    "x-llm-manager-load-progress",
    "x-llm-manager-route",
    "x-llm-manager-target",
    "x-llm-manager-fell-back-from",
]
CORS_ALLOW_HEADERS = [
    *default_headers,
    "x-api-key",
    "idempotency-key",
    "x-request-id",
    # Sent by OpenAI's and Anthropic's clients in a browser.
    *(f"openai-{name}" for name in ("beta", "organization", "project")),
    *(
        f"anthropic-{name}"
        for name in ("beta", "dangerous-direct-browser-access", "version")
    ),
    *(
        f"x-stainless-{name}"
        for name in (
            *("arch", "async", "helper-method", "lang", "os", "package-version"),
            *("read-timeout", "retry-count", "runtime", "runtime-version", "timeout"),
        )
    ),
]
CORS_URLS_REGEX = r"^/(v1|api|health|openapi\.json)"
CSRF_FAILURE_VIEW = "llm_manager.web.pages.refusals.form_expired"
CSRF_TRUSTED_ORIGINS = list(CONFIG.server.csrf_trusted_origins)
if CONFIG.server.trusted_proxies:
    # Without a proxy that sets it, a client could claim https.
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = CONFIG.https.redirect
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = CONFIG.https.secure_cookies
SECURE_HSTS_SECONDS = CONFIG.https.hsts_seconds
SECURE_HSTS_INCLUDE_SUBDOMAINS = CONFIG.https.hsts_subdomains
SECURE_HSTS_PRELOAD = CONFIG.https.hsts_preload
SECURE_CONTENT_TYPE_NOSNIFF = True
SESSION_COOKIE_HTTPONLY = True
X_FRAME_OPTIONS = "DENY"
# What a page may load and run: its own files and nothing else, no script in the page
# itself. Two permissions are wider, because unfold needs them: Alpine compiles the
# expressions of its attributes (unsafe-eval), and colours and widths are in `style`.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, UNSAFE_EVAL],
        "style-src": [SELF, UNSAFE_INLINE],
        "img-src": [SELF, "data:"],
        "media-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
APPEND_SLASH = True

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.keys.authentication.BearerAuthentication"
    ],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.keys.permissions.HasScope"],
    "DEFAULT_PARSER_CLASSES": ["inference.api.body.json_parser.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "inference.api.failures.exception_handler",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}

# Accounts -------------------------------------------------------------------

AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": f"django.contrib.auth.password_validation.{name}",
    }
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
AUTH_REQUIRED = CONFIG.auth.required
# django-ratelimit needs a cache with atomic increments, as Redis is.
RATELIMIT_USE_CACHE = "default"

# The log has names rather than numbers, which mean nothing once a row is gone.
AUDITLOG_USE_FK_STRING_REPRESENTATION = True

# Admin ----------------------------------------------------------------------

UNFOLD = UNFOLD_SETTINGS
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "account"

# Signing in: docs/adr/0023-sign-in-by-allauth.md.
ACCOUNT_ADAPTER = "accounts.sign_in.adapters.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
# Nobody is found by a mail address, so two people may have the same.
ACCOUNT_UNIQUE_EMAIL = False
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
SOCIALACCOUNT_ADAPTER = "accounts.sign_in.adapters.SocialAdapter"
SOCIALACCOUNT_AUTO_SIGNUP = True
# A form's redirect to another host would break the pages' form-action. The provider's
# answer is bound to the session, so a link is as good.
SOCIALACCOUNT_LOGIN_ON_GET = True
SOCIALACCOUNT_PROVIDERS = {
    "openid_connect": {
        "OAUTH_PKCE_ENABLED": True,
        "SCOPE": list(CONFIG.oidc.scopes),
        "APPS": [
            {
                "provider_id": "sso",
                "name": CONFIG.oidc.name,
                "client_id": CONFIG.oidc.client_id,
                "secret": CONFIG.oidc.client_secret,
                "settings": {"server_url": CONFIG.oidc.issuer},
            }
        ]
        if CONFIG.oidc.issuer
        else [],
    }
}
MFA_ADAPTER = "accounts.sign_in.second_factor.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "LLM Manager"
# A clock may be wrong by half a minute.
MFA_TOTP_TOLERANCE = 1

# Language and time ----------------------------------------------------------

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = False
FORMAT_MODULE_PATH = "llm_manager.formats"
USE_TZ = True

# Log ------------------------------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "text": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"},
        "json": {"()": "llm_manager.lib.log.json_lines.JSONFormatter"},
    },
    "filters": {
        "repeats": {"()": "llm_manager.lib.log.repeats.RepeatLimit"},
        "no_traceback": {"()": "llm_manager.lib.log.repeats.WithoutTraceback"},
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "filters": ["repeats"],
            "stream": sys.stderr,
            "formatter": CONFIG.logging.format,
        }
    },
    "root": {"handlers": ["stderr"], "level": CONFIG.logging.level.upper()},
    "loggers": {
        # llm_manager.access writes one line per request; these would add others.
        "django.channels.server": {"level": "WARNING"},
        "django.request": {"level": "ERROR"},
        # A traceback for each bad host that a client sends.
        "django.security": {"level": "CRITICAL"},
        "daphne": {"level": "WARNING"},
        # Forty lines of its own and of redis-py each second that Redis is away.
        "channels_redis.pubsub": {"filters": ["no_traceback"]},
        # It writes the address of each request, and a hub's have signatures in them.
        "httpx2": {"level": "WARNING"},
        # It writes what MCP servers send, which may be anything.
        "mcp": {"level": "CRITICAL"},
        # It counts the events in the models directory.
        "watchfiles": {"level": "WARNING"},
    },
}

"""Every configuration key: its type, default, bounds and meaning.

``llm_manager.yaml``, the environment and docs/configuration.md all follow this
schema. The sections `gpu` and `engine` take what a model may override from
``registry.load_settings``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from llm_manager.lib.config_sections import AnyCase, Folder, FromList, Section
from registry.load_settings import GpuSection, ModelEngineSection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

Seconds = Annotated[int, Field(ge=1, le=86_400)]
Texts = Annotated[tuple[str, ...], FromList]


class ModelsSection(Section):
    """The models directory and how models run."""

    dir: Folder | None = Field(
        default=None, description="Models directory. Unset: `models` in data_dir."
    )
    extra_dirs: Annotated[tuple[Folder, ...], FromList] = Field(
        default=(), description="More folders that a scan searches."
    )
    watch: bool = Field(
        default=True,
        description="Register a GGUF file that appears in these folders as soon as it "
        "is whole, and note when one is deleted. Engines watch, requests for an "
        "unknown model and the admin's pages look.",
    )
    default_ctx: int = Field(
        default=8192,
        ge=64,
        description="Context of one sequence, in tokens, that a model without its own "
        "is loaded with; never more than the trained context. It grows to that when a "
        "request needs it and memory allows.",
    )
    use_subprocess: bool = Field(
        default=True,
        description="Every model runs in a process of its own. false is for the "
        "Python API only: a server refuses it.",
    )


class DownloadsSection(Section):
    """Models from a hub or an address.

    The hub is ``HF_ENDPOINT``, or huggingface.co; its token is ``HF_TOKEN``.
    """

    hosts: Texts = Field(
        default=(),
        description="Hosts that models may come from, those of redirects too; "
        "`*.hf.co` is all below hf.co. Empty is any.",
    )
    private_addresses: bool = Field(
        default=False,
        description="Permit hosts in private networks and on this machine, and http: "
        "for a mirror of one's own. Without, such addresses are refused, also after a "
        "redirect.",
    )
    at_once: int = Field(
        default=2, ge=1, le=16, description="Downloads that run at once on one machine."
    )
    keep_free_mb: int = Field(
        default=1024,
        ge=0,
        description="Space that a download leaves free on its disk, in MiB.",
    )


class GenerationSection(Section):
    """Defaults for requests that leave a parameter out."""

    max_tokens: int = Field(
        default=4096,
        ge=1,
        description="Most tokens of an answer when a chat request sets no limit.",
    )
    temperature: float = Field(
        default=0.7, ge=0, le=2, description="Temperature when a request sets none."
    )
    top_p: float = Field(
        default=0.9, ge=0, le=1, description="top_p when a request sets none."
    )
    json_style: Annotated[Literal["fixed", "flexible"], AnyCase] = Field(
        default="fixed",
        description="White space in JSON that an answer has to match: fixed is "
        '`{"a": 1, "b": [2, 3]}`, flexible lets the model break lines and indent.',
    )


class EngineSection(ModelEngineSection):
    """The engine and its workers."""

    max_models: int = Field(
        default=4, ge=1, le=256, description="Models loaded at once on one machine."
    )
    memory_mb: int = Field(
        default=0,
        ge=0,
        description="Memory that loaded models may use on one machine, in MiB; "
        "0 is 85 % of the machine's.",
    )
    kv_memory_mb: int = Field(
        default=2048,
        ge=16,
        description="KV cache of one worker, in MiB; it decides the context and the "
        "number of sequences.",
    )
    queue_size: int = Field(
        default=256,
        ge=1,
        le=100_000,
        description="Requests that may wait for one model outside its workers, mostly "
        "while it is loaded.",
    )
    max_waiting: int = Field(
        default=1024,
        ge=1,
        le=100_000,
        description="Requests that may wait in one worker. Above that, the API key "
        "with the most waiting requests for its weight loses its last one.",
    )
    queue_timeout: Seconds = Field(
        default=300, description="Seconds that a request may wait to start."
    )
    load_timeout: Seconds = Field(
        default=600, description="Seconds that loading a model may take."
    )
    drain_timeout: int = Field(
        default=60,
        ge=0,
        le=86_400,
        description="Seconds that running requests have to finish before their model "
        "is unloaded.",
    )
    draft: Annotated[Literal["auto", "off", "lookup"], AnyCase] = Field(
        default="auto",
        description="Speculative decoding: lookup guesses that an answer repeats "
        "earlier text, as many tokens as are worth it at the current batch; auto does "
        "so while at most two answers are written. A draft model is chosen for each "
        "model, in the admin.",
    )


class CacheSection(Section):
    """Cached prefixes on disk."""

    enabled: bool = Field(
        default=False,
        description="Keep the KV state of long prompts on disk: it need not be "
        "computed again after it was evicted from memory, or after a restart. The "
        "files contain prompts; only the server's user can read them.",
    )
    dir: Folder | None = Field(
        default=None, description="Folder of that cache. Unset: `cache` in data_dir."
    )
    max_size_mb: int = Field(
        default=5120,
        ge=16,
        description="Size of that cache, in MiB; the least recently used is deleted "
        "first.",
    )


class AuthSection(Section):
    """Who may send requests, and who may log in."""

    required: bool = Field(
        default=True, description="Refuse inference requests that have no API key."
    )
    passwords: bool = Field(
        default=True,
        description="Let people log in by password. Without, they need `oidc`.",
    )
    login_attempts: int = Field(
        default=10,
        ge=0,
        description="Wrong passwords for one user name, or from one address, in a "
        "window; then the admin's login is locked for it until the window ends. "
        "0 is no limit.",
    )
    login_window: Seconds = Field(default=300, description="That window, in seconds.")


class OidcSection(Section):
    """Signing in at a provider of OpenID Connect, such as Keycloak, Entra ID or Google.

    The provider needs the redirect URL
    ``https://<this host>/account/oidc/sso/login/callback/``.
    """

    issuer: str = Field(
        default="", description="URL of the provider. Empty: there is none."
    )
    client_id: str = Field(default="", description="This server's id there.")
    client_secret: str = Field(
        default="",
        description="This server's secret there. Better in the environment than in a "
        "file that others read.",
    )
    name: str = Field(
        default="single sign-on", description="What the button to log in calls it."
    )
    scopes: Texts = Field(
        default=("openid", "profile", "email"),
        description="What the provider is asked for. Some need `groups` here.",
    )
    groups_claim: str = Field(
        default="groups",
        description="The claim that lists a user's groups. Each becomes a team. Empty: "
        "groups make no teams.",
    )
    create_users: bool = Field(
        default=True,
        description="Make a user of whoever the provider lets in. Without, people need "
        "an invitation.",
    )


class LimitsSection(Section):
    """The size of requests, and what budgets count in."""

    currency: str = Field(
        default="USD",
        min_length=1,
        max_length=8,
        description="What models' prices and budgets of money are in.",
    )

    max_messages: int = Field(default=100, ge=1, description="Messages in one request.")
    max_message_kb: int = Field(
        default=100, ge=1, description="Size of one message, in KiB."
    )
    max_content_kb: int = Field(
        default=1024, ge=1, description="Size of all content in one request, in KiB."
    )
    max_body_mb: int = Field(
        default=10,
        ge=1,
        le=1024,
        description="Size of a request's body, in MiB, as it is once it is unpacked.",
    )
    max_bodies_mb: int = Field(
        default=0,
        ge=0,
        le=65_536,
        description="Size of all bodies that one web process reads at once, in MiB, "
        "without the first 64 KiB of each; one key may have half of it. Above that the "
        "answer is 503. 0 is four times max_body_mb; a smaller value than max_body_mb "
        "counts as that.",
    )
    blocked_patterns: Texts = Field(
        default=(),
        description="Texts that no message and no prompt may contain, upper or lower "
        "case, as in `<script>, javascript:`. Off by default: ordinary questions about "
        "web pages contain these two, and a model runs neither. What shows an answer "
        "in a page has to escape it in any case.",
    )


class ServerSection(Section):
    """The web server."""

    host: str = Field(default="127.0.0.1", description="Address that it listens on.")
    port: int = Field(default=8000, ge=1, le=65_535, description="Port.")
    workers: int = Field(
        default=1, ge=1, le=64, description="Web processes that share the port."
    )
    spare_processes: bool = Field(
        default=True,
        description="Whether a process of each kind waits to take over from one that "
        "ends: some 100 MB each, for an answer seconds earlier. No second web process "
        "waits where `server.workers` is more than 1.",
    )
    cors_origins: Texts = Field(
        default=(),
        description="Origins that browsers may call from; `*` is any, empty is none.",
    )
    allowed_hosts: Texts = Field(
        default=("*",), description="Host names that the web server answers to."
    )
    csrf_trusted_origins: Texts = Field(
        default=(), description="Origins, with scheme, of a proxy that ends TLS."
    )
    trusted_proxies: int = Field(
        default=0,
        ge=0,
        le=16,
        description="Proxies in front whose X-Forwarded-For entries are trusted.",
    )
    rate_limit: int = Field(
        default=60,
        ge=0,
        description="Requests of one client in a window, unless its key has its own "
        "limit; 0 is no limit.",
    )
    rate_limit_window: Seconds = Field(
        default=60, description="The window, in seconds."
    )
    request_timeout: Seconds = Field(
        default=600, description="Seconds that an answer may take."
    )
    receive_timeout: Seconds = Field(
        default=60,
        description="Seconds that a client may take to send a request, headers and "
        "body.",
    )


def _http_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise PydanticCustomError("http_url", "is not an address as in https://host/")
    return text


class ApiSection(Section):
    """What the API keeps for its clients."""

    store: bool = Field(
        default=False,
        description="Whether `/v1/responses` keeps responses, and conversations: for "
        "`previous_response_id`, `conversation` and `background`. A request with "
        "`store: false` is not kept.",
    )
    retention_days: int = Field(
        default=30,
        ge=1,
        le=3650,
        description="Days after which stored responses and conversations are deleted.",
    )


class NoticesSection(Section):
    """Where administrators read what they have to know, beside the admin."""

    webhook_url: Annotated[str, AfterValidator(_http_url)] | None = Field(
        default=None,
        description="Address that notices are sent to by POST, as JSON signed by "
        "Standard Webhooks' rules. It may be a private one; redirects are not "
        "followed. Unset: none are sent.",
    )
    webhook_secret: str = Field(
        default="",
        repr=False,
        description="Secret of the signature, text or `whsec_…` with base64.",
    )


class HttpsSection(Section):
    """Pages behind a proxy that ends TLS. The proxy has to set X-Forwarded-Proto, and
    ``server.trusted_proxies`` to count it.
    """

    redirect: bool = Field(
        default=False, description="Redirect the admin's pages from http to https."
    )
    secure_cookies: bool = Field(
        default=False,
        description="Send the admin's cookies over https only. Nobody can log in over "
        "http then.",
    )
    hsts_seconds: int = Field(
        default=0,
        ge=0,
        description="Seconds for which browsers use nothing but https with this host "
        "(Strict-Transport-Security). Begin with an hour: it cannot be taken back. "
        "0 sends none.",
    )
    hsts_subdomains: bool = Field(
        default=False, description="The same for every host name below this one."
    )
    hsts_preload: bool = Field(
        default=False,
        description="Permit browsers to ship with this host name in their list.",
    )


class DatabaseSection(Section):
    """Where rows are kept."""

    url: str | None = Field(
        default=None,
        description="Database URL, as in `postgres://…`. Unset: SQLite in data_dir.",
    )


class RedisSection(Section):
    """What connects the processes."""

    url: str | None = Field(
        default=None, description="Redis URL. Unset: a private Redis in data_dir."
    )


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise PydanticCustomError(
            "time_zone", "is not the name of a time zone, as Europe/Berlin or UTC"
        ) from None
    return name


class UsageSection(Section):
    """Who used what: one row for each request, and sums of each day."""

    time_zone: Annotated[str, AfterValidator(_known_zone)] = Field(
        default="UTC",
        description="Time zone of the days of sums and budgets, as in "
        "`Europe/Berlin`. Days that are over stay as they were counted.",
    )
    retention_days: int = Field(
        default=90,
        ge=1,
        le=36_500,
        description="Days after which the rows of requests are deleted.",
    )
    rollup_retention_days: int = Field(
        default=1825,
        ge=1,
        le=36_500,
        description="Days after which the sums of a day are deleted.",
    )


class AuditSection(Section):
    """The log of every change that somebody made."""

    retention_days: int = Field(
        default=1825,
        ge=1,
        le=36_500,
        description="Days after which an entry of the audit log is deleted.",
    )


def _patterns(patterns: tuple[str, ...]) -> tuple[str, ...]:
    # The library is loaded by those who use it.
    from llm_manager.lib.patterns import compiled

    for pattern in patterns:
        try:
            compiled(pattern)
        except ValueError as error:
            raise PydanticCustomError(
                "pattern",
                "has '{pattern}', which is no pattern of RE2: {reason}",
                {"pattern": pattern, "reason": str(error)},
            ) from None
    return patterns


class CaptureSection(Section):
    """Bodies of requests and answers, of keys whose capture is switched on for a
    while. Data of images and other files is always left out.
    """

    patterns: Annotated[Texts, AfterValidator(_patterns)] = Field(
        default=("sk-[A-Za-z0-9_-]{16}[A-Za-z0-9_-]*",),
        description="What is taken out of captured bodies: regular expressions in "
        "RE2's syntax. The default is API keys.",
    )
    max_kb: int = Field(
        default=64,
        ge=1,
        le=1024,
        description="KiB that are kept of a request, and as many of an answer.",
    )
    retention_hours: int = Field(
        default=72,
        ge=1,
        le=8_760,
        description="Hours after which a captured body is deleted.",
    )


class MetricsSection(Section):
    """What `/metrics` exports."""

    aliases: bool = Field(
        default=True,
        description="Export metrics under the names of vLLM and llama-server too.",
    )


class LoggingSection(Section):
    """The log."""

    level: Annotated[Literal["debug", "info", "warning", "error"], AnyCase] = Field(
        default="info", description="Level of the log."
    )
    format: Annotated[Literal["text", "json"], AnyCase] = Field(
        default="text",
        description="`json` makes each line an object, for programs that collect logs.",
    )
    to_files: bool = Field(
        default=True,
        description="Write what `llm-manager server` logs into files, too; "
        "`llm-manager logs` reads them.",
    )
    dir: Folder | None = Field(
        default=None, description="Their folder. Unset: `logs` in data_dir."
    )
    max_mb: int = Field(
        default=10,
        ge=1,
        le=10_000,
        description="Size of a file in MiB, after which a new one begins.",
    )
    files: int = Field(
        default=5, ge=2, le=1000, description="Files that are kept, the newest too."
    )


class Config(Section):
    """The whole configuration: ``config.server.port`` is the key ``server.port``."""

    #: Django looks for this whenever ``settings.CONFIG`` is read. Pydantic takes 2 µs
    #: to find that it is missing, and a chat request reads the configuration ten times.
    _mask_wrapped: ClassVar[bool] = True

    data_dir: Folder = Field(
        default=Path("data"),
        validate_default=True,
        description="Database, private Redis socket, secret key, default models.",
    )
    models: ModelsSection = ModelsSection()
    downloads: DownloadsSection = DownloadsSection()
    generation: GenerationSection = GenerationSection()
    gpu: GpuSection = GpuSection()
    engine: EngineSection = EngineSection()
    cache: CacheSection = CacheSection()
    auth: AuthSection = AuthSection()
    oidc: OidcSection = OidcSection()
    limits: LimitsSection = LimitsSection()
    server: ServerSection = ServerSection()
    api: ApiSection = ApiSection()
    notices: NoticesSection = NoticesSection()
    https: HttpsSection = HttpsSection()
    database: DatabaseSection = DatabaseSection()
    redis: RedisSection = RedisSection()
    usage: UsageSection = UsageSection()
    audit: AuditSection = AuditSection()
    capture: CaptureSection = CaptureSection()
    metrics: MetricsSection = MetricsSection()
    logging: LoggingSection = LoggingSection()

    @property
    def models_dir(self) -> Path:
        """The models directory, absolute."""
        return self.models.dir or self.data_dir / "models"

    @property
    def usage_dir(self) -> Path:
        """Where web processes note their requests before the database has them."""
        return self.data_dir / "usage"

    @property
    def cache_dir(self) -> Path:
        """The folder of cached prefixes on disk, absolute."""
        return self.cache.dir or self.data_dir / "cache"

    @property
    def logs_dir(self) -> Path:
        """The folder of the log's files, absolute."""
        return self.logging.dir or self.data_dir / "logs"


def _keys() -> Iterator[tuple[str, FieldInfo]]:
    for section, declared in Config.model_fields.items():
        kind = declared.annotation
        if not (isinstance(kind, type) and issubclass(kind, Section)):
            yield section, declared
            continue
        for name, field in kind.model_fields.items():
            yield f"{section}.{field.validation_alias or name}", field


#: Every key by its dotted name.
KEYS = dict(_keys())

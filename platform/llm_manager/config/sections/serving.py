"""The web server, its API, and what it stands on."""

from __future__ import annotations

from pydantic import Field

from llm_manager.lib.config_sections import Seconds, Section, Texts


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
        default=("*",),
        description="Host names that the web server answers to; it does so to its "
        "machine's addresses, too.",
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


class ApiSection(Section):
    """What the API keeps for its clients, and which other APIs it speaks."""

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
    store_quota_mb: int = Field(
        default=1024,
        ge=1,
        description="MiB of responses and conversations that are stored for one owner; "
        "more are refused until some are deleted.",
    )
    ollama: bool = Field(
        default=False,
        description="Whether the routes of Ollama's API are served too, below `/api`, "
        "for programs that speak only that: the same keys, limits and models.",
    )
    mcp_servers: Texts = Field(
        default=(),
        description="MCP servers that `/v1/responses` may call for its clients; "
        "empty is none. A host, or `*.` and a domain: by https, and at no private "
        "address. Or a whole URL, as in `http://10.0.0.7:8931/mcp`: this one, wherever "
        "it is.",
    )
    mcp_timeout: Seconds = Field(
        default=60, description="Seconds that a call of an MCP server may take."
    )
    mcp_max_calls: int = Field(
        default=16,
        ge=1,
        le=1000,
        description="Calls of MCP servers for one response; `max_tool_calls` of a "
        "request can be less.",
    )
    mcp_max_result_kb: int = Field(
        default=256,
        ge=1,
        le=65_536,
        description="KiB of what one call may return. One that returns more has "
        "failed.",
    )


class FilesSection(Section):
    """Files that clients upload to `/v1/files`, and what batches write."""

    max_mb: int = Field(
        default=200, ge=1, le=10_240, description="The most MiB of one file."
    )
    quota_mb: int = Field(
        default=1024,
        ge=0,
        description="The most MiB that are kept of one owner, each file with 4 KiB "
        "besides; clients without a key are one owner. 0 keeps no files.",
    )
    retention_days: int = Field(
        default=30,
        ge=1,
        le=3650,
        description="Days after which files, and batches that have ended, are deleted.",
    )


class BatchesSection(Section):
    """Batches: files of requests that are answered while there is nothing else."""

    max_open: int = Field(
        default=8,
        ge=0,
        le=1000,
        description="Batches of one owner that have not ended; 0 takes none.",
    )
    max_lines: int = Field(
        default=50_000, ge=1, le=50_000, description="Requests in a batch."
    )
    in_flight: int = Field(
        default=8,
        ge=1,
        le=256,
        description="Requests of a batch that are sent to the workers at once. More "
        "use a GPU better; a step of all of them is what another request may wait for.",
    )
    window_hours: int = Field(
        default=24,
        ge=1,
        le=720,
        description="Hours after which a batch expires, whatever is left of it.",
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
        default=None,
        description="Redis URL, or that of Sentinels, which know the master: "
        "`redis+sentinel://:password@one:26379,two:26379/mymaster?db=0`, with "
        "`sentinel_password` for their own; `rediss+sentinel` has TLS to all of "
        "them, by `ssl_ca_certs` in the query. Unset: a private Redis in data_dir.",
    )

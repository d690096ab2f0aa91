"""Who may use the server, and how much."""

from __future__ import annotations

from pydantic import Field

from llm_manager.lib.config_sections import Seconds, Section, Texts


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


class MediaSection(Section):
    """Images and sounds in requests, for models that see and hear."""

    max_images: int = Field(default=16, ge=1, description="Images in one request.")
    max_pixels: int = Field(
        default=50_000_000,
        ge=1,
        le=200_000_000,
        description="Pixels of one image. It is refused before any is decoded.",
    )
    max_sounds: int = Field(default=4, ge=1, description="Sounds in one request.")
    max_sound_seconds: int = Field(
        # A conformer takes memory by the square of the length, and llama.cpp ends the
        # process over more than 328 s for LFM2-Audio.
        default=120,
        ge=1,
        le=300,
        description="Length of one sound.",
    )
    hosts: Texts = Field(
        default=(),
        description="Hosts that the server fetches images from, by https, when a "
        "request has an address of one; `*.example.org` is all below example.org. "
        "Private addresses are refused whatever their name, also after a redirect. "
        "Empty: it fetches none, and images come in the request itself.",
    )
    fetch_timeout: Seconds = Field(
        default=10, description="Seconds in which an image must have been fetched."
    )
    max_fetch_mb: int = Field(
        default=10, ge=1, le=1024, description="Size of a fetched image, in MiB."
    )


class UpstreamsSection(Section):
    """Other inference servers that models may be served by."""

    private_hosts: Texts = Field(
        default=(),
        description="Hosts with private addresses, or without TLS, that an upstream "
        "may be at: names or addresses as they are in its address; `*.example.org` is "
        "all below example.org. Other upstreams are public hosts by https.",
    )
    check_every: Seconds = Field(
        default=30,
        description="Seconds after which an upstream in use is checked again.",
    )
    failures: int = Field(
        default=5,
        ge=1,
        le=1000,
        description="Failures one after the other after which a web process stops "
        "sending requests to an upstream for a while.",
    )
    pause: Seconds = Field(
        default=15,
        description="That while, in seconds. Then one request tries again.",
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
        "without the first 64 KiB of each; one key may have half of it. Above that a "
        "body waits for a second, and the answer is 503. 0 is four times max_body_mb; "
        "a smaller value than max_body_mb counts as that.",
    )
    blocked_patterns: Texts = Field(
        default=(),
        description="Texts that no message and no prompt may contain, upper or lower "
        "case, as in `<script>, javascript:`. Off by default: ordinary questions about "
        "web pages contain these two, and a model runs neither. What shows an answer "
        "in a page has to escape it in any case.",
    )

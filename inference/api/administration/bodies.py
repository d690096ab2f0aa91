"""The bodies of /v1/admin: their shapes. The rows' own rules check the rest."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from inference.api.body.request_body import Body
from inference.api.parameters.value_types import Between
from llm_manager.lib.quoting import quote

Name = Annotated[str, Field(min_length=1, max_length=150)]
Names = Annotated[list[Name], Field(max_length=1000)]
Scopes = Annotated[
    list[Literal["inference", "models", "admin"]], Field(min_length=1, max_length=3)
]
Networks = Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=64)]
Notes = Annotated[str, Field(max_length=2000)]
Moment = Annotated[str, Field(max_length=40)]


class Patch(Body):
    """An object whose members are changed; the others stay as they are.

    A null empties a member.
    """

    @model_validator(mode="before")
    @classmethod
    def _prepare(cls, body: Any) -> Any:
        """Drop all unknown members but the first; null is a value here."""
        if isinstance(body, dict) and not cls._names.issuperset(body):
            unknown = next(name for name in body if name not in cls._names)
            members = {name: body[name] for name in body if name in cls._names}
            return {**members, quote(unknown): True}
        return body

    def given(self) -> dict[str, Any]:
        """Return the members that were sent."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class NewKeyRequest(Body):
    """A new API key."""

    name: Name
    """What the key is for."""
    owner: Name
    """The name of a user."""
    team: Name | None = None
    """The name of a team that the owner is in."""
    scopes: Scopes = ["inference"]
    """What the key may do."""
    all_models: bool = False
    """The key may use every model, also those that are added later."""
    models: Names | None = None
    """The ids of the models that the key may use, without `all_models`."""
    allowed_networks: Networks | None = None
    """Networks that requests may come from, such as `10.0.0.0/8`. Without it: any."""
    rate_limit: Annotated[int, Between(0, 2_147_483_647)] | None = None
    """Requests in a window; 0 is no limit. Without it: server.rate_limit."""
    weight: float = 1.0
    """The share of a busy model beside other keys."""
    expires_at: Moment | None = None
    """When it expires, as `2027-01-31T18:00:00Z`, or at the end of `2027-01-31`.
    Without it: never."""
    notes: Notes = ""
    """For administrators."""


class KeyChangeRequest(Patch):
    """Changes of an API key."""

    name: Name | None = None
    """What the key is for."""
    team: Name | None = None
    """The name of a team that the owner is in; null is none."""
    scopes: Scopes | None = None
    """What the key may do."""
    all_models: bool | None = None
    """Whether the key may use every model."""
    models: Names | None = None
    """The ids of the models that the key may use."""
    allowed_networks: Networks | None = None
    """Networks that requests may come from; an empty list is any."""
    rate_limit: Annotated[int, Between(0, 2_147_483_647)] | None = None
    """Requests in a window; null is server.rate_limit, 0 is no limit."""
    weight: float | None = None
    """The share of a busy model beside other keys."""
    expires_at: Moment | None = None
    """When it expires; null is never."""
    notes: Notes | None = None
    """For administrators."""


class RotateRequest(Body):
    """How to rotate a key."""

    grace_hours: Annotated[int, Between(0, 2160)] = 168
    """For how long the old key goes on working; 0 revokes it at once."""


class DrainRequest(Body):
    """How a node is drained."""

    now: bool = False
    """Running requests move and do not end there; what no other node can take goes."""


class NodePullRequest(Body):
    """The model that a node fetches."""

    model: str
    """Its id. The node fetches what it lacks of it, with all that it is loaded with."""


class CaptureRequest(Body):
    """For how long bodies are captured."""

    hours: Literal[1, 8, 24] = 1
    """Hours from now."""


class NewTeamRequest(Body):
    """A new team."""

    name: Name
    """Its name, which is that of a group."""
    all_models: bool = False
    """Its keys may use every model."""
    models: Names | None = None
    """The ids of the models that its keys may use, without `all_models`."""
    members: Names | None = None
    """The names of users."""
    notes: Notes = ""
    """For administrators."""


class TeamChangeRequest(Patch):
    """Changes of a team."""

    all_models: bool | None = None
    """Whether its keys may use every model."""
    models: Names | None = None
    """The ids of the models that its keys may use."""
    members: Names | None = None
    """The names of all its users."""
    notes: Notes | None = None
    """For administrators."""


class NewUserRequest(Body):
    """A new user, without staff rights."""

    username: Name
    """The name to log in with."""
    email: Annotated[str, Field(max_length=254)] = ""
    """The mail address."""
    password: Annotated[str, Field(max_length=4096)] | None = None
    """The password. Without it the user cannot log in by one."""
    teams: Names | None = None
    """The names of teams."""


class UserChangeRequest(Patch):
    """Changes of a user."""

    email: Annotated[str, Field(max_length=254)] | None = None
    """The mail address."""
    is_active: bool | None = None
    """Whether the user may log in, and the user's keys work."""
    teams: Names | None = None
    """The names of all the user's teams."""


class InvitationRequest(Body):
    """Whom an invitation brings where."""

    days: Annotated[int, Between(1, 90)] = 7
    """For how long the link works."""
    teams: Names | None = None
    """The names of teams that the person joins."""
    note: Annotated[str, Field(max_length=200)] = ""
    """Whom it is for."""


class LimitRequest(Body):
    """A limit of a key, a user or a team; of none of them, every key's default."""

    kind: Literal[
        "requests_minute",
        "tokens_minute",
        "parallel",
        "tokens_day",
        "tokens_month",
        "money_month",
    ]
    """What is limited."""
    amount: Annotated[float, Between(0.01, 9_999_999_999_999)]
    """Requests, tokens, or money in the currency of limits.currency."""
    key: Name | None = None
    """The prefix of a key."""
    user: Name | None = None
    """The name of a user."""
    team: Name | None = None
    """The name of a team."""
    model: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    """The id of a model. Without it: all models together."""
    is_shared: bool = True
    """A user's or a team's keys share it; otherwise each of them may use this much."""


class LimitChangeRequest(Patch):
    """Changes of a limit; whose it is and what it limits stays."""

    amount: Annotated[float, Between(0.01, 9_999_999_999_999)] | None = None
    """Requests, tokens, or money in the currency of limits.currency."""
    is_shared: bool | None = None
    """A user's or a team's keys share it; otherwise each of them may use this much."""


class ListQuery(Body):
    """The parameters of a list, as texts."""

    limit: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,3}$")] = "100"
    """The most objects, up to 1000."""
    after: Annotated[str, Field(max_length=150)] = ""
    """The last object of the page before."""


class KeyQuery(ListQuery):
    """Which keys."""

    owner: Annotated[str, Field(max_length=150)] = ""
    """The name of a user."""
    team: Annotated[str, Field(max_length=150)] = ""
    """The name of a team."""
    state: Literal["", "active", "ended"] = ""
    """Those that may be used, or those that are revoked or expired."""


class RunningQuery(Body):
    """Which of the requests that run and wait."""

    limit: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,3}$")] = "100"
    """The most requests, up to 1000."""
    model: Annotated[str, Field(max_length=255)] | None = None
    """The id of a model."""
    key: Annotated[str, Field(max_length=32)] | None = None
    """The prefix of a key."""
    state: Literal["waits", "prefills", "decodes"] | None = None
    """What they do."""
    endpoint: Annotated[str, Field(max_length=32)] | None = None
    """The endpoint that they came to, such as `chat-completions`."""
    node: Annotated[str, Field(max_length=255)] | None = None
    """The node whose worker has them."""


class AuditQuery(ListQuery):
    """Which entries of the audit log."""

    kind: Annotated[str, Field(max_length=100)] = ""
    """The kind of row: apikey, team, user, model, limit …"""
    by: Annotated[str, Field(max_length=150)] = ""
    """Who made the change."""
    object: Annotated[str, Field(max_length=255)] = ""
    """A part of the row's name."""

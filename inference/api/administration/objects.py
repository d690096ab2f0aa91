"""The answers of /v1/admin, made from rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

from accounts.audit.export import AuditEntry, as_object

if TYPE_CHECKING:
    from auditlog.models import LogEntry
    from django.contrib.auth.models import User

    from accounts.models import ApiKey, Invitation, Limit, Team

KeyState = Literal["active", "expired", "revoked"]


class AdminKey(TypedDict):
    """An API key; its secret is not stored."""

    object: Literal["admin.key"]
    prefix: str
    name: str
    owner: str
    team: str | None
    scopes: list[str]
    all_models: bool
    models: list[str]
    allowed_networks: list[str]
    rate_limit: int | None
    weight: float
    expires_at: str | None
    state: KeyState
    last_used_at: str | None
    rotated_from: str | None
    captured_until: str | None
    created_at: str
    created_by: str | None
    notes: str


class NewAdminKey(TypedDict):
    """A key with its secret, which is in no other answer."""

    secret: str
    key: AdminKey


class AdminTeam(TypedDict):
    """A team."""

    object: Literal["admin.team"]
    name: str
    members: list[str]
    all_models: bool
    models: list[str]
    is_from_claim: bool
    created_at: str
    notes: str


class AdminUser(TypedDict):
    """A user."""

    object: Literal["admin.user"]
    username: str
    email: str
    is_active: bool
    is_staff: bool
    is_superuser: bool
    teams: list[str]
    last_login: str | None
    created_at: str


class AdminInvitation(TypedDict):
    """A link that works once; it is in no other answer."""

    object: Literal["admin.invitation"]
    link: str
    teams: list[str]
    expires_at: str


class AdminLimit(TypedDict):
    """A limit."""

    object: Literal["admin.limit"]
    id: int
    kind: str
    amount: float
    key: str | None
    user: str | None
    team: str | None
    model: str | None
    is_shared: bool


class AdminDeleted(TypedDict):
    """What was deleted."""

    id: str
    deleted: bool


class AdminRequest(TypedDict):
    """A request that waits, prefills or decodes.

    `id` cancels it, and is that of its page later; `request_id` is its
    `x-request-id`. `place` is its place in the line of its model, 1 is next.
    `prefill_progress` is the share of its prompt that is computed, from 0 to 1.
    """

    object: Literal["admin.request"]
    id: str
    request_id: str
    endpoint: str
    model: str
    key: str | None
    key_name: str | None
    owner: str | None
    team: str | None
    client_address: str
    state: str
    place: int | None
    prefill_progress: float | None
    node: str | None
    replica: int | None
    stream: bool
    sequences: int
    prompt_tokens: int | None
    cached_tokens: int
    completion_tokens: int
    tokens_per_second: float | None
    arrived_at: str
    age_seconds: float


class AdminRequestList(TypedDict):
    """Requests, the oldest first; `silent_processes` did not answer in a second."""

    object: Literal["list"]
    data: list[AdminRequest]
    has_more: bool
    silent_processes: int


class AdminCancelled(TypedDict):
    """The request that was cancelled."""

    id: str
    cancelled: bool


class AdminNodeWorker(TypedDict):
    """A worker that a node has."""

    model: str
    replica: int
    state: str
    running: int
    waiting: int


class AdminNodeDrain(TypedDict):
    """The order that a node is drained."""

    now: bool
    by: str
    at: str


class AdminNodeDisk(TypedDict):
    """The disk of a folder with models, in bytes; ``error``: why it cannot be asked."""

    path: str
    total: int
    free: int
    error: str


class AdminNodeFile(TypedDict):
    """A model file of a node, in bytes, and the models that it is: none if another."""

    object: Literal["admin.node.file"]
    path: str
    size: int
    fingerprint: str
    models: list[str]


class AdminNodeFileList(TypedDict):
    """All model files of a node, by path."""

    object: Literal["list"]
    data: list[AdminNodeFile]


class AdminNodePull(TypedDict):
    """A model that a node fetches: the ids of the downloads that do it."""

    object: Literal["admin.node.pull"]
    node: str
    model: str
    downloads: list[int]
    pull_mb_per_s: int | None


class AdminNodeFiles(TypedDict):
    """How many model files a node has, their bytes, and when it looked."""

    count: int
    size: int
    seen_at: str


class AdminNode(TypedDict):
    """A machine with its engine process; memory is in bytes.

    ``files`` is null for a node that does not report them; ``pulls_from`` is where it
    may fetch models: ``off``, ``nodes``, ``hub`` or ``both``, at most ``pull_mb_per_s``
    MiB a second, null without a limit.
    """

    object: Literal["admin.node"]
    name: str
    version: str
    is_alive: bool
    labels: list[str]
    drain: AdminNodeDrain | None
    memory_total: int
    memory_limit: int
    workers: list[AdminNodeWorker]
    files: AdminNodeFiles | None
    pulls_from: str
    pull_mb_per_s: int | None
    disks: list[AdminNodeDisk]
    heartbeat_at: str


class AdminNodeList(TypedDict):
    """Nodes, by name."""

    object: Literal["list"]
    data: list[AdminNode]
    has_more: bool


class AdminKeyList(TypedDict):
    """Keys, the newest first."""

    object: Literal["list"]
    data: list[AdminKey]
    has_more: bool


class AdminTeamList(TypedDict):
    """Teams, by name."""

    object: Literal["list"]
    data: list[AdminTeam]
    has_more: bool


class AdminUserList(TypedDict):
    """Users, by name."""

    object: Literal["list"]
    data: list[AdminUser]
    has_more: bool


class AdminLimitList(TypedDict):
    """Limits."""

    object: Literal["list"]
    data: list[AdminLimit]
    has_more: bool


class AuditList(TypedDict):
    """Changes, the latest first."""

    object: Literal["list"]
    data: list[AuditEntry]
    has_more: bool


#: The schemas of /openapi.json.
ANSWERS: dict[str, type] = {
    "AdminKey": AdminKey,
    "NewAdminKey": NewAdminKey,
    "AdminTeam": AdminTeam,
    "AdminUser": AdminUser,
    "AdminInvitation": AdminInvitation,
    "AdminLimit": AdminLimit,
    "AdminDeleted": AdminDeleted,
    "AdminKeyList": AdminKeyList,
    "AdminTeamList": AdminTeamList,
    "AdminUserList": AdminUserList,
    "AdminLimitList": AdminLimitList,
    "AdminRequest": AdminRequest,
    "AdminRequestList": AdminRequestList,
    "AdminCancelled": AdminCancelled,
    "AdminNode": AdminNode,
    "AdminNodeDisk": AdminNodeDisk,
    "AdminNodeDrain": AdminNodeDrain,
    "AdminNodeFile": AdminNodeFile,
    "AdminNodeFileList": AdminNodeFileList,
    "AdminNodeFiles": AdminNodeFiles,
    "AdminNodeList": AdminNodeList,
    "AdminNodePull": AdminNodePull,
    "AdminNodeWorker": AdminNodeWorker,
    "AuditEntry": AuditEntry,
    "AuditList": AuditList,
}
#: What the objects of keys and teams read beside their rows.
KEY_ROWS = ("owner", "team__group", "created_by", "rotated_from")


def key_object(key: ApiKey) -> AdminKey:
    """Return a key's object."""
    state: KeyState = "active" if key.is_active else "revoked"
    if state == "active" and key.is_expired:
        state = "expired"
    return {
        "object": "admin.key",
        "prefix": key.prefix,
        "name": key.name,
        "owner": key.owner.get_username(),
        "team": str(key.team) if key.team else None,
        "scopes": key.scopes,
        "all_models": key.all_models,
        "models": sorted(model.name for model in key.allowed_models.all()),
        "allowed_networks": key.allowed_networks,
        "rate_limit": key.rate_limit,
        "weight": key.weight,
        "expires_at": _time(key.expires_at),
        "state": state,
        "last_used_at": _time(key.last_used_at),
        "rotated_from": key.rotated_from.prefix if key.rotated_from else None,
        "captured_until": _time(key.capture_until) if key.is_captured else None,
        "created_at": key.created_at.isoformat(),
        "created_by": key.created_by.get_username() if key.created_by else None,
        "notes": key.notes,
    }


def team_object(team: Team) -> AdminTeam:
    """Return a team's object."""
    return {
        "object": "admin.team",
        "name": str(team),
        "members": sorted(user.get_username() for user in team.group.user_set.all()),
        "all_models": team.all_models,
        "models": sorted(model.name for model in team.allowed_models.all()),
        "is_from_claim": team.is_from_claim,
        "created_at": team.created_at.isoformat(),
        "notes": team.notes,
    }


def user_object(user: User) -> AdminUser:
    """Return a user's object."""
    teams = [group.name for group in user.groups.all() if hasattr(group, "team")]
    return {
        "object": "admin.user",
        "username": user.get_username(),
        "email": user.email,
        "is_active": user.is_active,
        "is_staff": user.is_staff,
        "is_superuser": user.is_superuser,
        "teams": sorted(teams),
        "last_login": _time(user.last_login),
        "created_at": user.date_joined.isoformat(),
    }


def invitation_object(invitation: Invitation, link: str) -> AdminInvitation:
    """Return an invitation's object."""
    return {
        "object": "admin.invitation",
        "link": link,
        "teams": sorted(str(team) for team in invitation.teams.all()),
        "expires_at": invitation.expires_at.isoformat(),
    }


def limit_object(limit: Limit) -> AdminLimit:
    """Return a limit's object."""
    return {
        "object": "admin.limit",
        "id": limit.pk,
        "kind": limit.kind,
        "amount": float(limit.amount),
        "key": limit.key.prefix if limit.key else None,
        "user": limit.user.get_username() if limit.user else None,
        "team": str(limit.team) if limit.team else None,
        "model": limit.model.name if limit.model else None,
        "is_shared": limit.is_shared,
    }


def audit_object(entry: LogEntry) -> AuditEntry:
    """Return an entry's object."""
    return as_object(entry)


def _time(moment: Any) -> str | None:
    return moment.isoformat() if moment else None

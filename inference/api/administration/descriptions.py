"""The descriptions of /v1/admin in /openapi.json."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema

from inference.api.administration.bodies import (
    AuditQuery,
    KeyQuery,
    ListQuery,
    RunningQuery,
)
from inference.api.openapi.operations import JSON, ref, refusals
from inference.api.usage.request import UsageParameters

if TYPE_CHECKING:
    from inference.api.body.request_body import Body
    from inference.api.openapi.operations import Description

TAG = "Administration"
_READ = (401, 403, 405, 429, 500, 503)
_WRITE = (400, 401, 403, 405, 413, 415, 429, 500, 503)


def _described(
    operation: str,
    summary: str,
    answer: str,
    *,
    body: str | None = None,
    query: type[Body] | None = None,
    status: int = 200,
    named: bool = False,
    refuses: bool = False,
) -> Description:
    statuses = _WRITE if body else _READ
    extra = (404,) if named else ()
    if query is not None or refuses:
        extra = (*extra, 400)
    described: Description = extend_schema(
        operation_id=operation,
        summary=summary,
        tags=[TAG],
        parameters=[] if query is None else _parameters(query),
        request={JSON: ref(body)} if body else None,
        responses={
            status: OpenApiResponse(ref(answer), description=f"{summary}."),
            **refusals(*sorted({*statuses, *extra})),
        },
    )
    return described


def _parameters(query: type[Body]) -> list[Any]:
    return [
        OpenApiParameter(
            name,
            OpenApiTypes.STR,
            OpenApiParameter.QUERY,
            description=" ".join((field.description or "").split()),
        )
        for name, field in query.model_fields.items()
    ]


list_keys = _described("listKeys", "List API keys", "AdminKeyList", query=KeyQuery)
create_key = _described(
    "createKey", "Create an API key", "NewAdminKey", body="NewKeyRequest", status=201
)
get_key = _described("retrieveKey", "Describe an API key", "AdminKey", named=True)
change_key = _described(
    "changeKey", "Change an API key", "AdminKey", body="KeyChangeRequest", named=True
)
rotate_key = _described(
    "rotateKey",
    "Put a new key in an old one's place",
    "NewAdminKey",
    body="RotateRequest",
    status=201,
    named=True,
)
capture_key = _described(
    "captureKey",
    "Capture the bodies of a key's requests for a while",
    "AdminKey",
    body="CaptureRequest",
    named=True,
)
end_capture = _described(
    "endCapture", "End the capture of a key's requests", "AdminKey", named=True
)
revoke_key = _described("revokeKey", "Revoke an API key", "AdminKey", named=True)
list_teams = _described("listTeams", "List teams", "AdminTeamList", query=ListQuery)
create_team = _described(
    "createTeam", "Create a team", "AdminTeam", body="NewTeamRequest", status=201
)
get_team = _described("retrieveTeam", "Describe a team", "AdminTeam", named=True)
change_team = _described(
    "changeTeam", "Change a team", "AdminTeam", body="TeamChangeRequest", named=True
)
delete_team = _described("deleteTeam", "Delete a team", "AdminDeleted", named=True)
list_users = _described("listUsers", "List users", "AdminUserList", query=ListQuery)
create_user = _described(
    "createUser", "Create a user", "AdminUser", body="NewUserRequest", status=201
)
get_user = _described("retrieveUser", "Describe a user", "AdminUser", named=True)
change_user = _described(
    "changeUser", "Change a user", "AdminUser", body="UserChangeRequest", named=True
)
invite = _described(
    "createInvitation",
    "Make a link for a person",
    "AdminInvitation",
    body="InvitationRequest",
    status=201,
)
list_limits = _described("listLimits", "List limits", "AdminLimitList", query=ListQuery)
create_limit = _described(
    "createLimit", "Create a limit", "AdminLimit", body="LimitRequest", status=201
)
change_limit = _described(
    "changeLimit",
    "Change a limit",
    "AdminLimit",
    body="LimitChangeRequest",
    named=True,
)
delete_limit = _described("deleteLimit", "Delete a limit", "AdminDeleted", named=True)
list_requests = _described(
    "listRequests",
    "List what runs and waits now",
    "AdminRequestList",
    query=RunningQuery,
)
cancel_request = _described(
    "cancelRequest", "Cancel a running request", "AdminCancelled", named=True
)
list_nodes = _described("listNodes", "List nodes", "AdminNodeList", query=ListQuery)
get_node = _described("retrieveNode", "Describe a node", "AdminNode", named=True)
drain_node = _described(
    "drainNode", "Drain a node", "AdminNode", body="DrainRequest", named=True
)
undrain_node = _described(
    "undrainNode", "Let a node take workers again", "AdminNode", named=True
)
list_node_files = _described(
    "listNodeFiles", "List the model files of a node", "AdminNodeFileList", named=True
)
pull_model = _described(
    "pullModelToNode",
    "Let a node fetch a model",
    "AdminNodePull",
    body="NodePullRequest",
    named=True,
)
sum_usage = _described(
    "sumUsage", "Add up requests, tokens and cost", "UsageList", query=UsageParameters
)
list_audit = _described(
    "listAudit", "Read the audit log", "AuditList", query=AuditQuery
)
list_upstreams = _described(
    "listUpstreams", "List upstreams", "AdminUpstreamList", query=ListQuery
)
create_upstream = _described(
    "createUpstream",
    "Add an upstream",
    "AdminUpstream",
    body="NewUpstreamRequest",
    status=201,
)
change_upstream = _described(
    "changeUpstream",
    "Change an upstream",
    "AdminUpstream",
    body="UpstreamChangeRequest",
    named=True,
)
delete_upstream = _described(
    "deleteUpstream",
    "Remove an upstream without models",
    "AdminDeleted",
    named=True,
    refuses=True,
)
check_upstream = _described(
    "checkUpstream", "Ask an upstream whether it answers", "AdminUpstream", named=True
)
list_upstream_models = _described(
    "listUpstreamModels",
    "List the models of upstreams",
    "AdminUpstreamModelList",
    query=ListQuery,
)
create_upstream_model = _described(
    "createUpstreamModel",
    "Add a model of an upstream",
    "AdminUpstreamModel",
    body="NewUpstreamModelRequest",
    status=201,
)
change_upstream_model = _described(
    "changeUpstreamModel",
    "Change a model of an upstream",
    "AdminUpstreamModel",
    body="UpstreamModelChangeRequest",
    named=True,
)
delete_upstream_model = _described(
    "deleteUpstreamModel", "Remove a model of an upstream", "AdminDeleted", named=True
)
list_routes = _described("listRoutes", "List routes", "AdminRouteList", query=ListQuery)
create_route = _described(
    "createRoute", "Add a route", "AdminRoute", body="NewRouteRequest", status=201
)
change_route = _described(
    "changeRoute", "Change a route", "AdminRoute", body="RouteChangeRequest", named=True
)
delete_route = _described("deleteRoute", "Remove a route", "AdminDeleted", named=True)

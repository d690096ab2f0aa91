"""The routes of /v1/admin."""

from __future__ import annotations

from inference.api.administration.audit import AuditView
from inference.api.administration.elsewhere.routing import RoutesView, RouteView
from inference.api.administration.elsewhere.upstreams import (
    UpstreamCheckView,
    UpstreamModelsView,
    UpstreamModelView,
    UpstreamsView,
    UpstreamView,
)
from inference.api.administration.keys import (
    CaptureView,
    KeysView,
    KeyView,
    RevokeView,
    RotateView,
)
from inference.api.administration.limits import LimitsView, LimitView
from inference.api.administration.nodes import (
    DrainView,
    NodeFilesView,
    NodesView,
    OneNodeView,
)
from inference.api.administration.people import (
    InvitationsView,
    TeamsView,
    TeamView,
    UsersView,
    UserView,
)
from inference.api.administration.running import CancelView, RunningView
from inference.api.administration.usage import AdminUsageView

#: Without /v1, for the hints of unknown routes. A name may have slashes.
ROUTES = (
    ("admin/keys", KeysView, "admin-keys"),
    ("admin/keys/<str:prefix>/rotate", RotateView, "admin-rotate-key"),
    ("admin/keys/<str:prefix>/revoke", RevokeView, "admin-revoke-key"),
    ("admin/keys/<str:prefix>/capture", CaptureView, "admin-capture-key"),
    ("admin/keys/<str:prefix>", KeyView, "admin-key"),
    ("admin/teams", TeamsView, "admin-teams"),
    ("admin/teams/<any:name>", TeamView, "admin-team"),
    ("admin/users", UsersView, "admin-users"),
    ("admin/users/<any:name>", UserView, "admin-user"),
    ("admin/invitations", InvitationsView, "admin-invitations"),
    ("admin/limits", LimitsView, "admin-limits"),
    ("admin/limits/<int:number>", LimitView, "admin-limit"),
    ("admin/nodes", NodesView, "admin-nodes"),
    ("admin/nodes/<str:name>/drain", DrainView, "admin-drain-node"),
    ("admin/nodes/<str:name>/files", NodeFilesView, "admin-node-files"),
    ("admin/nodes/<any:name>", OneNodeView, "admin-node"),
    ("admin/upstreams", UpstreamsView, "admin-upstreams"),
    ("admin/upstreams/<str:name>/check", UpstreamCheckView, "admin-check-upstream"),
    ("admin/upstreams/<any:name>", UpstreamView, "admin-upstream"),
    ("admin/upstream-models", UpstreamModelsView, "admin-upstream-models"),
    ("admin/upstream-models/<any:name>", UpstreamModelView, "admin-upstream-model"),
    ("admin/routes", RoutesView, "admin-routes"),
    ("admin/routes/<any:name>", RouteView, "admin-route"),
    ("admin/requests", RunningView, "admin-requests"),
    ("admin/requests/<str:id_>/cancel", CancelView, "admin-cancel-request"),
    ("admin/usage", AdminUsageView, "admin-usage"),
    ("admin/audit", AuditView, "admin-audit"),
)

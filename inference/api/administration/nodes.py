"""/v1/admin/nodes: machines, and their drains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference.api.administration import descriptions as about
from inference.api.administration.bodies import DrainRequest, ListQuery
from inference.api.administration.rows import row_named
from inference.api.administration.view import AdminView, answering, query_of
from inference.models import EngineNode, NodeDrain, Worker
from inference.placing.drains import drain_of, node_drain, node_undrain
from inference.status import worker_state

if TYPE_CHECKING:
    from rest_framework.request import Request

    from inference.api.administration.objects import AdminNode, AdminNodeList

_MAX_LISTED = 1000


def _list(request: Request) -> AdminNodeList:
    query = query_of(request, ListQuery)
    limit = min(int(query.limit), _MAX_LISTED)
    nodes = EngineNode.objects.order_by("name").prefetch_related("workers__model")
    if query.after:
        nodes = nodes.filter(name__gt=query.after)
    found = list(nodes[: limit + 1])
    drains = {drain.node_name: drain for drain in NodeDrain.objects.all()}
    return {
        "object": "list",
        "data": [node_object(node, drains.get(node.name)) for node in found[:limit]],
        "has_more": len(found) > limit,
    }


def _get(request: Request, name: str) -> AdminNode:
    node = _node_named(name)
    return node_object(node, drain_of(node))


def _drain(request: Request, name: str) -> AdminNode:
    body = DrainRequest.parse(request.data)
    node_drain(node=_node_named(name), is_now=body.now)
    return _get(request, name)


def _undrain(request: Request, name: str) -> AdminNode:
    node_undrain(node=_node_named(name))
    return _get(request, name)


class NodesView(AdminView):
    """All nodes."""

    on = {"GET": _list}
    get = answering(about.list_nodes)


class OneNodeView(AdminView):
    """One node."""

    on = {"GET": _get}
    get = answering(about.get_node)


class DrainView(AdminView):
    """A node is drained, or no longer."""

    on = {"POST": _drain, "DELETE": _undrain}
    post = answering(about.drain_node)
    delete = answering(about.undrain_node)


def node_object(node: EngineNode, drain: NodeDrain | None) -> AdminNode:
    """Return a node's object."""
    return {
        "object": "admin.node",
        "name": node.name,
        "version": node.version,
        "is_alive": node.is_alive,
        "labels": list(node.labels),
        "drain": (
            None
            if drain is None
            else {"now": drain.is_now, "by": drain.by, "at": drain.at.isoformat()}
        ),
        "memory_total": node.memory_total,
        "memory_limit": node.memory_limit,
        "workers": [
            {
                "model": worker.model.name,
                "replica": worker.replica,
                "state": worker_state(worker).name,
                "running": worker.running,
                "waiting": worker.waiting,
            }
            for worker in _workers(node)
        ],
        "heartbeat_at": node.heartbeat_at.isoformat(),
    }


def _workers(node: EngineNode) -> list[Worker]:
    return sorted(node.workers.all(), key=lambda each: (each.model.name, each.replica))


def _node_named(name: str) -> EngineNode:
    nodes = EngineNode.objects.prefetch_related("workers__model", "workers__node")
    return row_named(nodes, "node", name=name)

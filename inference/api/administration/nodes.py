"""/v1/admin/nodes: machines, and their drains."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Count, Sum

from inference.api.administration import descriptions as about
from inference.api.administration.bodies import DrainRequest, ListQuery, NodePullRequest
from inference.api.administration.rows import models_of, row_named
from inference.api.administration.view import AdminView, answering, query_of
from inference.api.errors import BadRequest
from inference.errors import PullRefused
from inference.models import EngineNode, NodeDrain, Worker
from inference.placing.drains import drain_of, node_drain, node_undrain
from inference.placing.files import files_of
from inference.placing.pulls import node_pull
from inference.status import worker_state

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from rest_framework.request import Request

    from inference.api.administration.objects import (
        AdminNode,
        AdminNodeFileList,
        AdminNodeFiles,
        AdminNodeList,
        AdminNodePull,
    )

_MAX_LISTED = 1000


def _list(request: Request) -> AdminNodeList:
    query = query_of(request, ListQuery)
    limit = min(int(query.limit), _MAX_LISTED)
    nodes = EngineNode.objects.order_by("name").prefetch_related("workers__model")
    if query.after:
        nodes = nodes.filter(name__gt=query.after)
    found = list(_counted(nodes)[: limit + 1])
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


def _files(request: Request, name: str) -> AdminNodeFileList:
    return {
        "object": "list",
        "data": [
            {
                "object": "admin.node.file",
                "path": each.copy.path,
                "size": each.copy.size,
                "fingerprint": each.copy.fingerprint,
                "models": [model.name for model in each.models],
            }
            for each in files_of(_node_named(name))
        ],
    }


def _pull(request: Request, name: str) -> AdminNodePull:
    node, body = _node_named(name), NodePullRequest.parse(request.data)
    (model,) = models_of([body.model], "model")
    if not model.has_file:
        raise BadRequest(f"'{model}' has no file to fetch.", param="model")
    try:
        downloads = node_pull(node=node, model=model)
    except PullRefused as error:
        raise BadRequest(str(error), param="model") from None
    return {
        "object": "admin.node.pull",
        "node": name,
        "model": model.name,
        "downloads": [download.pk for download in downloads],
        "pull_mb_per_s": node.pull_mb_per_s or None,
    }


class NodesView(AdminView):
    """All nodes."""

    on = {"GET": _list}
    get = answering(about.list_nodes)


class OneNodeView(AdminView):
    """One node."""

    on = {"GET": _get}
    get = answering(about.get_node)


class NodeFilesView(AdminView):
    """The model files of a node; a model is posted that it is to fetch."""

    on = {"GET": _files, "POST": _pull}
    get = answering(about.list_node_files)
    post = answering(about.pull_model)


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
        "files": _files_object(node),
        "pulls_from": node.pulls_from,
        "pull_mb_per_s": node.pull_mb_per_s or None,
        "disks": [
            {
                "path": disk["path"],
                "total": disk["total"],
                "free": disk["free"],
                "error": disk["error"],
            }
            for disk in node.disks
            if disk["name"] == "models"
        ],
        "heartbeat_at": node.heartbeat_at.isoformat(),
    }


def _workers(node: EngineNode) -> list[Worker]:
    return sorted(node.workers.all(), key=lambda each: (each.model.name, each.replica))


def _node_named(name: str) -> EngineNode:
    nodes = EngineNode.objects.prefetch_related("workers__model", "workers__node")
    return row_named(_counted(nodes), "node", name=name)


def _counted(nodes: QuerySet[EngineNode]) -> QuerySet[EngineNode]:
    """Let nodes know how many files they have, and how large these are."""
    return nodes.annotate(num_files=Count("copies"), files_size=Sum("copies__size"))


def _files_object(node: EngineNode) -> AdminNodeFiles | None:
    if not node.reports_files or node.files_seen_at is None:
        return None
    return {
        "count": getattr(node, "num_files", 0),
        "size": getattr(node, "files_size", None) or 0,
        "seen_at": node.files_seen_at.isoformat(),
    }

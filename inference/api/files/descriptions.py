"""The descriptions of /v1/files and /v1/batches in /openapi.json."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema

from inference.api.openapi.operations import JSON, Description, ref, refusals

_READS = (400, 401, 403, 404, 405, 429, 500, 503)
_WRITES = (*_READS, 409, 413, 415)
_IDS = {"file_id": "Id of a file.", "batch_id": "Id of a batch."}
_QUERIES = {
    "limit": "How many objects. Files: from 1 to 10000, the default; batches: from 1 "
    "to 100, default 20.",
    "order": "`asc` or `desc`, by their time. Default: `desc`.",
    "after": "The id of the object before the first one.",
    "purpose": "Only files of this purpose.",
}
_UPLOAD: dict[str, Any] = {
    "type": "object",
    "required": ["file", "purpose"],
    "properties": {
        "file": {
            "type": "string",
            "format": "binary",
            "description": "A file of JSON lines, each of them a request.",
        },
        "purpose": {"type": "string", "enum": ["batch"]},
        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
        "expires_after[seconds]": {
            "type": "integer",
            "minimum": 3600,
            "maximum": 2592000,
        },
    },
}


def _described(
    operation: str,
    summary: str,
    answer: Any,
    *,
    tag: str,
    path: str = "",
    query: tuple[str, ...] = (),
    request: Any = None,
    is_write: bool = False,
) -> Description:
    parameters = [
        OpenApiParameter(
            name, OpenApiTypes.STR, OpenApiParameter.PATH, description=_IDS[name]
        )
        for name in filter(None, [path])
    ] + [
        OpenApiParameter(
            name, OpenApiTypes.STR, OpenApiParameter.QUERY, description=_QUERIES[name]
        )
        for name in query
    ]
    described: Description = extend_schema(
        operation_id=operation,
        summary=summary,
        tags=[tag],
        parameters=parameters,
        request=request,
        responses={
            **answer,
            **refusals(*(_WRITES if is_write else _READS)),
        },
    )
    return described


def _json(name: str) -> dict[Any, Any]:
    return {200: OpenApiResponse(ref(name), description="The answer.")}


upload_schema = _described(
    "uploadFile",
    "Upload a file for a batch",
    _json("File"),
    tag="Files",
    request={"multipart/form-data": _UPLOAD},
    is_write=True,
)
list_files_schema = _described(
    "listFiles",
    "List the files",
    _json("FileList"),
    tag="Files",
    query=("limit", "order", "after", "purpose"),
)
retrieve_file_schema = _described(
    "retrieveFile", "Describe a file", _json("File"), tag="Files", path="file_id"
)
delete_file_schema = _described(
    "deleteFile",
    "Delete a file",
    _json("DeletedFile"),
    tag="Files",
    path="file_id",
    is_write=True,
)
file_content_schema = _described(
    "downloadFile",
    "Return the content of a file",
    {
        (200, "application/octet-stream"): OpenApiResponse(
            OpenApiTypes.BINARY, description="The file."
        )
    },
    tag="Files",
    path="file_id",
)
create_batch_schema = _described(
    "createBatch",
    "Answer all requests of a file",
    _json("Batch"),
    tag="Batches",
    request={JSON: ref("BatchRequest")},
    is_write=True,
)
list_batches_schema = _described(
    "listBatches",
    "List the batches",
    _json("BatchList"),
    tag="Batches",
    query=("limit", "order", "after"),
)
retrieve_batch_schema = _described(
    "retrieveBatch", "Describe a batch", _json("Batch"), tag="Batches", path="batch_id"
)
cancel_batch_schema = _described(
    "cancelBatch",
    "Cancel a batch",
    _json("Batch"),
    tag="Batches",
    path="batch_id",
    is_write=True,
)

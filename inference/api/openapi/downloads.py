"""The descriptions of POST /v1/models, of deletion and of /v1/downloads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema

from inference.api.openapi.operations import EVENTS, JSON, MODEL_ID, ref, refusals

if TYPE_CHECKING:
    from inference.api.openapi.operations import Description

_TAG = "Downloads"
_READ = (401, 403, 405, 429, 500, 503)
_EVENTS_NOTE = (
    "Events of `data: {Download}` whenever it changes, comments `: keep-alive` while "
    "nothing does, and `data: [DONE]` when it has ended."
)
_stream = OpenApiResponse({"description": _EVENTS_NOTE})


def _query(name: str, about: str, *, required: bool = False) -> OpenApiParameter:
    return OpenApiParameter(
        name,
        OpenApiTypes.STR,
        OpenApiParameter.QUERY,
        description=about,
        required=required,
    )


def _about_one(operation: str, summary: str, *more: int) -> Description:
    described: Description = extend_schema(
        operation_id=operation,
        summary=summary,
        tags=[_TAG],
        request=None,
        responses={
            200: OpenApiResponse(ref("Download"), description="The download."),
            **refusals(404, *_READ, *more),
        },
    )
    return described


pull_schema: Description = extend_schema(
    operation_id="pullModel",
    summary="Get a model from a hub or an address",
    tags=[_TAG],
    request={JSON: ref("PullRequest")},
    responses={
        (202, JSON): OpenApiResponse(
            ref("Download"), description="The download, which goes on by itself."
        ),
        (200, JSON): OpenApiResponse(
            ref("Download"), description="The same one, requested before."
        ),
        (200, EVENTS): _stream,
        **refusals(400, 401, 403, 404, 405, 413, 415, 429, 500, 502, 503),
    },
)
delete_schema: Description = extend_schema(
    operation_id="deleteModel",
    summary="Delete a model with its files",
    tags=["Models"],
    parameters=[
        MODEL_ID,
        _query("confirm", "`true` deletes it although that breaks something."),
    ],
    request=None,
    responses={
        200: OpenApiResponse(ref("DeletedModel"), description="What was deleted."),
        **refusals(400, 404, 409, *_READ),
    },
)
download_list_schema: Description = extend_schema(
    operation_id="listDownloads",
    summary="List the downloads",
    tags=[_TAG],
    parameters=[
        _query("limit", "The most objects, up to 1000. Default: 100."),
        _query("after", "The id of the last object of the page before."),
    ],
    responses={
        200: OpenApiResponse(ref("DownloadList"), description="The newest first."),
        **refusals(400, *_READ),
    },
)
offer_schema: Description = extend_schema(
    operation_id="retrieveOffer",
    summary="List the models of a repository",
    tags=[_TAG],
    parameters=[
        _query("model", "`org/repo`, or an address of the hub.", required=True)
    ],
    responses={
        200: OpenApiResponse(ref("Offer"), description="Small models first."),
        **refusals(400, 404, 502, *_READ),
    },
)
download_schema = _about_one("retrieveDownload", "Describe a download")
events_schema: Description = extend_schema(
    operation_id="followDownload",
    summary="Follow a download until it has ended",
    tags=[_TAG],
    responses={(200, EVENTS): _stream, **refusals(404, *_READ)},
)
cancel_schema = _about_one("cancelDownload", "Cancel a download")
retry_schema = _about_one(
    "retryDownload", "Go on with a download that failed or was cancelled", 400
)

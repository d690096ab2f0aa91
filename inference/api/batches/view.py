"""/v1/batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accounts.limits.throttling import request_ip
from accounts.models import Batch, StoredFile
from inference.api.batches import rows
from inference.api.batches.objects import batch_object
from inference.api.batches.request import BatchRequest
from inference.api.batches.running import batch_runner
from inference.api.errors import BadRequest, RowNotFound
from inference.api.files import descriptions
from inference.api.files.listing import PARAMETERS, check_parameters, page_of
from inference.api.files.view import OwnersView, file_find
from inference.api.model_access import key_of
from inference.api.responses import json_response
from llm_manager.lib.quoting import storable

if TYPE_CHECKING:
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

#: OpenAI's numbers.
_DEFAULT_LISTED, _MAX_LISTED = 20, 100


def batch_find(id_: str, owner_id: int) -> Batch:
    """Return a batch of an owner. Raises RowNotFound."""
    row = Batch.objects.filter(pk=storable(id_), owner_id=owner_id).first()
    if row is None:
        raise RowNotFound("batch", id_)
    return row


class BatchesView(OwnersView):
    """GET and POST /v1/batches."""

    def get_prepare(self, request: Request, owner_id: int) -> Any:
        """Return a page of batches. Raises BadRequest."""
        check_parameters(request.GET, *PARAMETERS)
        return page_of(
            Batch.objects.filter(owner_id=owner_id),
            request.GET,
            batch_object,
            default=_DEFAULT_LISTED,
            most=_MAX_LISTED,
        )

    @descriptions.list_batches_schema
    async def get(self, request: Request, page: Any) -> HttpResponseBase:
        """List the batches."""
        return json_response(page)

    def post_prepare(self, request: Request, owner_id: int) -> Any:
        """Make a batch. Raises BadRequest, RowNotFound, TooManyBatches."""
        body = BatchRequest.parse(request.data)
        file = file_find(body.input_file_id, owner_id, "input_file_id")
        if file.purpose != StoredFile.BATCH:
            raise BadRequest(
                f"The file '{file.pk}' has the purpose '{file.purpose}'; a batch needs "
                "one of the purpose 'batch'.",
                param="input_file_id",
            )
        key = key_of(request)
        row = rows.batch_create(
            body,
            owner_id=owner_id,
            key_id=0 if key is None else key.pk,
            client_address=request_ip(request),
        )
        return batch_object(row)

    @descriptions.create_batch_schema
    async def post(self, request: Request, batch: Any) -> HttpResponseBase:
        """Make a batch, which is worked on in the background."""
        batch_runner().look_soon()
        return json_response(batch)


class BatchView(OwnersView):
    """GET /v1/batches/{id}."""

    http_method_names = ["get", "head"]

    def get_prepare(self, request: Request, owner_id: int) -> Any:
        """Return the batch. Raises RowNotFound."""
        return batch_object(batch_find(self.kwargs["batch_id"], owner_id))

    @descriptions.retrieve_batch_schema
    async def get(self, request: Request, batch: Any) -> HttpResponseBase:
        """Return a batch, and how far it is."""
        return json_response(batch)


class CancelBatchView(OwnersView):
    """POST /v1/batches/{id}/cancel."""

    http_method_names = ["post"]

    def post_prepare(self, request: Request, owner_id: int) -> Any:
        """Cancel the batch. Raises RowNotFound, BadRequest."""
        row = batch_find(self.kwargs["batch_id"], owner_id)
        if not rows.batch_cancel(row):
            row.refresh_from_db()
            if row.status not in (Batch.Status.CANCELLING, Batch.Status.CANCELLED):
                raise BadRequest(
                    f"The batch '{row.pk}' cannot be cancelled: it is {row.status}.",
                    code="batch_not_cancellable",
                )
        row.refresh_from_db()
        return batch_object(row)

    @descriptions.cancel_batch_schema
    async def post(self, request: Request, batch: Any) -> HttpResponseBase:
        """Cancel a batch; what was answered until then stays."""
        batch_runner().look_soon()
        return json_response(batch)

"""/v1/files: what clients upload for batches, and what batches write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accounts.files.folder import content_path
from accounts.files.services import file_delete
from accounts.models import Scope, StoredFile
from accounts.session_access import SessionAccess
from inference.api.body.incoming_body import IncomingBody
from inference.api.errors import BadRequest, RowNotFound
from inference.api.files import descriptions
from inference.api.files.content import ContentResponse
from inference.api.files.listing import PARAMETERS, check_parameters, page_of
from inference.api.files.objects import file_object
from inference.api.files.upload import Upload, check_upload, max_upload_bytes
from inference.api.model_access import access_of, owner_id_of
from inference.api.responses import json_response
from inference.api.view import ApiView, declared_length
from llm_manager.lib.quoting import storable
from llm_manager.lib.threads import in_thread

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

#: OpenAI's number.
_MAX_LISTED = 10_000


class OwnersView(ApiView):
    """A view of what the owner of a key keeps here; nobody else finds it.

    ``{method}_prepare`` returns what the method's handler answers.
    """

    required_scope = Scope.INFERENCE
    http_method_names = ["get", "head", "post", "delete"]

    def prepare(self, request: Request) -> Any:
        """Return what the handler of the method answers. Raises BadRequest."""
        if isinstance(access_of(request), SessionAccess):
            raise BadRequest("Files and batches need an API key.", code="key_needed")
        method = (request.method or "").lower().replace("head", "get")
        return getattr(self, f"{method}_prepare")(request, owner_id_of(request))


def file_find(id_: str, owner_id: int, param: str | None = None) -> StoredFile:
    """Return a file of an owner. Raises RowNotFound."""
    row = StoredFile.objects.filter(pk=storable(id_), owner_id=owner_id).first()
    if row is None:
        error = RowNotFound("file", id_)
        error.param = param
        raise error
    return row


class FilesView(OwnersView):
    """GET and POST /v1/files."""

    upload: Upload | None = None

    def max_body_bytes(self) -> int:
        """Return the most bytes of a body."""
        if self.request.method == "POST":
            return max_upload_bytes()
        return super().max_body_bytes()

    async def _enter_with_body(self, request: HttpRequest) -> Any:
        """Write the body of an upload to disk, and ``enter``."""
        if request.method != "POST":
            return await super()._enter_with_body(request)
        owner_id, declared = owner_id_of(self.request), declared_length(request)
        content_type = request.META.get("CONTENT_TYPE", "")
        await in_thread(check_upload, content_type, owner_id, declared)
        self.upload = await in_thread(Upload, request.META, owner_id, declared)
        try:
            await self.upload.receive(IncomingBody.of(request))
            return await in_thread(self.enter)
        finally:
            await in_thread(self.upload.discard)

    def get_prepare(self, request: Request, owner_id: int) -> Any:
        """Return a page of files. Raises BadRequest."""
        check_parameters(request.GET, *PARAMETERS, "purpose")
        rows = StoredFile.objects.filter(owner_id=owner_id)
        if purpose := request.GET.get("purpose"):
            rows = rows.filter(purpose=storable(purpose))
        return page_of(
            rows, request.GET, file_object, default=_MAX_LISTED, most=_MAX_LISTED
        )

    @descriptions.list_files_schema
    async def get(self, request: Request, page: Any) -> HttpResponseBase:
        """List the files."""
        return json_response(page)

    def post_prepare(self, request: Request, owner_id: int) -> Any:
        """Store the file. Raises BadRequest, StorageFull."""
        assert self.upload is not None  # noqa: S101 - _enter_with_body() made it
        return file_object(self.upload.store())

    @descriptions.upload_schema
    async def post(self, request: Request, file: Any) -> HttpResponseBase:
        """Upload a file."""
        return json_response(file)


class FileView(OwnersView):
    """GET and DELETE /v1/files/{id}."""

    def get_prepare(self, request: Request, owner_id: int) -> Any:
        """Return the file. Raises RowNotFound."""
        return file_object(file_find(self.kwargs["file_id"], owner_id))

    @descriptions.retrieve_file_schema
    async def get(self, request: Request, file: Any) -> HttpResponseBase:
        """Return a file's name, size and dates."""
        return json_response(file)

    def delete_prepare(self, request: Request, owner_id: int) -> Any:
        """Delete the file. Raises RowNotFound, FileInUse."""
        row = file_find(self.kwargs["file_id"], owner_id)
        deleted = {"id": row.pk, "object": "file", "deleted": True}
        file_delete(row)
        return deleted

    @descriptions.delete_file_schema
    async def delete(self, request: Request, deleted: Any) -> HttpResponseBase:
        """Delete a file."""
        return json_response(deleted)


class FileContentView(OwnersView):
    """GET /v1/files/{id}/content."""

    def get_prepare(self, request: Request, owner_id: int) -> Any:
        """Return the open file. Raises RowNotFound."""
        row = file_find(self.kwargs["file_id"], owner_id)
        try:
            return row, content_path(row.pk).open("rb")
        except FileNotFoundError:
            raise RowNotFound("content of the file", row.pk) from None

    @descriptions.file_content_schema
    async def get(self, request: Request, found: Any) -> HttpResponseBase:
        """Return the content of a file."""
        return ContentResponse(*found)

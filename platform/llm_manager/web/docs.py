"""GET /openapi.json, and /docs, which shows it to people."""

from __future__ import annotations

import functools
import json
from threading import Lock
from typing import TYPE_CHECKING, Any

from csp.constants import HEADER, SELF
from csp.utils import build_policy
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.urls import reverse
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.settings import patched_settings

from inference.api.openapi.operations import JSON, hidden, ref
from inference.api.view import OpenView
from llm_manager import __version__
from llm_manager.lib.threads import in_thread
from llm_manager.web.detailed_health import DetailedHealth
from llm_manager.web.health import Health
from llm_manager.web.openapi_schemas import component_schemas

if TYPE_CHECKING:
    from rest_framework.request import Request

_ABOUT = """An OpenAI-compatible API for GGUF models on your own machines.

Send your key as `Authorization: Bearer <key>`. Every error is
`{"error": {"message", "type", "param", "code"}}`. A parameter that is not supported is
refused by name, never ignored.
"""
_TAGS = (
    "Completions",
    "Embeddings",
    "Files",
    "Batches",
    "Tokens",
    "Models",
    "Operation",
    "Administration",
)
#: Bodies that may be left away.
_OPTIONAL = tuple(
    ref(f"{name}Request") for name in ("Load", "Unload", "Rotate", "Invitation")
)
_SWAGGER_UI = "drf_spectacular_sidecar/swagger-ui-dist/"


class _ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Describes BearerAuthentication in the document."""

    target_class = "accounts.keys.authentication.BearerAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        """Return the security scheme."""
        return {"type": "http", "scheme": "bearer"}


#: drf-spectacular's settings are the process's while a document is made.
_making = Lock()


def openapi_document() -> bytes:
    """Return the document as JSON. A process makes it once."""
    with _making:
        return _document()


@functools.cache
def _document() -> bytes:
    settings = {
        "TITLE": "LLM Manager",
        "DESCRIPTION": _ABOUT,
        "VERSION": __version__,
        "OAS_VERSION": "3.1.0",
        "SCHEMA_PATH_PREFIX": "",
        "TAGS": [{"name": name} for name in _TAGS],
    }
    with patched_settings(settings):
        generator: Any = SchemaGenerator()  # type: ignore[no-untyped-call]
        document = generator.get_schema(public=True)
    document["components"]["schemas"] = component_schemas(
        {"Health": Health, "DetailedHealth": DetailedHealth}
    )
    for operations in document["paths"].values():
        for operation in operations.values():
            body = operation.get("requestBody")
            contents = body["content"].values() if body else ()
            if any(each["schema"] not in _OPTIONAL for each in contents):
                body["required"] = True
    return json.dumps(document, ensure_ascii=False).encode()


def page_headers() -> dict[str, str]:
    """Return what the middleware of pages would add; Swagger UI needs no `eval`."""
    policy = build_policy(replace={"script-src": [SELF]})
    return {"X-Frame-Options": "DENY", HEADER: policy}


class OpenApiView(OpenView):
    """GET /openapi.json."""

    @hidden
    async def get(self, request: Request, prepared: None) -> HttpResponse:
        """Return the document."""
        return HttpResponse(await in_thread(openapi_document), content_type=JSON)


class DocsView(OpenView):
    """GET /docs: Swagger UI, from files of an installed package."""

    @hidden
    async def get(self, request: Request, prepared: None) -> HttpResponse:
        """Return the page."""
        page = render_to_string(
            "inference/docs.html",
            {
                "stylesheet": static(f"{_SWAGGER_UI}swagger-ui.css"),
                "script": static(f"{_SWAGGER_UI}swagger-ui-bundle.js"),
                "icon": static(f"{_SWAGGER_UI}favicon-32x32.png"),
                "start": static("llm_manager/docs.js"),
                "document": reverse("openapi"),
            },
        )
        return HttpResponse(page, headers=page_headers())

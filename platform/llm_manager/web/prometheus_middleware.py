"""django-prometheus' middleware, without a thread for each of its hooks.

Both lists of the settings, for the API and for pages, begin with the first class and
end with the second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.deprecation import MiddlewareMixin
from django_prometheus.middleware import (
    PrometheusAfterMiddleware,
    PrometheusBeforeMiddleware,
)

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase


class _InEventLoop(MiddlewareMixin):
    """Calls the hooks where it is called itself.

    MiddlewareMixin goes to a thread for each of them, since a hook might wait. These
    only count.
    """

    process_request: Any
    process_response: Any

    async def __acall__(self, request: HttpRequest) -> HttpResponseBase:
        self.process_request(request)
        response: Any = self.get_response(request)
        answer: HttpResponseBase = self.process_response(request, await response)
        return answer


class BeforeMiddleware(_InEventLoop, PrometheusBeforeMiddleware):  # type: ignore[misc]  # it has no types
    """Counts requests and times them with all other middleware."""


class AfterMiddleware(_InEventLoop, PrometheusAfterMiddleware):  # type: ignore[misc]  # it has no types
    """Counts requests by view, method and status, and times the views."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._children: dict[Any, Any] = {}

    def label_metric(
        self,
        metric: Any,
        request: HttpRequest,
        response: HttpResponseBase | None = None,
        **labels: Any,
    ) -> Any:
        """Return the metric with these labels, which is looked up once.

        django-prometheus names a method that does not exist "<invalid method>", but not
        in the latency: there each method that a client makes up would be a time series.
        """
        if "method" in labels:
            labels["method"] = self._method(request)
        key = (metric, *labels.values())
        child = self._children.get(key)
        if child is None:
            child = super().label_metric(metric, request, response, **labels)
            self._children[key] = child
        return child

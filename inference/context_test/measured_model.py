"""What a context test measures: a model as a load would have it, with one KV type."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from django.conf import settings

from inference.capacity.context import ContextSpec
from inference.capacity.load_plan import load_plan
from inference.capacity.model_rows import InvalidSettings, load_spec
from inference.context_test.bisection import STEP
from inference.context_test.filling import LEAST_CTX
from inference.context_test.recommendation import Cost
from inference.node.file_check import why_not_as_scanned
from registry.copies.here import use_copy_here
from registry.load_settings import conflicts
from registry.models import measured_settings

if TYPE_CHECKING:
    from inference.capacity.load_plan import LoadPlan, LoadSpec
    from inference.capacity.machine import Machine
    from inference.context_test.recommendation import Memory
    from registry.models import ContextTest, Model


class CannotMeasure(Exception):
    """A model that cannot be measured with a KV type; the message says why."""


class MeasuredModel:
    """A model with a KV type on a machine: its load plans by context."""

    def __init__(
        self, model: Model, cache_type_k: str, cache_type_v: str, machine: Machine
    ) -> None:
        """Raises CannotMeasure."""
        if not model.is_generative:
            raise CannotMeasure("It does not generate text.")
        use_copy_here(model)
        if reason := why_not_as_scanned(model):
            raise CannotMeasure(reason)
        self._machine = machine
        try:
            spec = load_spec(model)
        except InvalidSettings as error:
            raise CannotMeasure(str(error)) from None
        if spec.settings.rpc_servers:
            raise CannotMeasure(
                "It uses RPC servers, and contexts are measured on one machine."
            )
        types = {"cache_type_k": cache_type_k, "cache_type_v": cache_type_v}
        with_types = spec.settings.model_copy(update=types)
        if found := [reason for _, reason in conflicts(with_types, spec.shape)]:
            raise CannotMeasure(" ".join(found))
        # Prefixes on disk would be read instead of computed.
        self._spec = replace(spec, settings=with_types, cache_dir="")
        self.trained = model.context_length
        self.default = settings.CONFIG.models.default_ctx

    def most(self, asked: int | None) -> int:
        """Return the largest context to measure, if memory allows it."""
        bounds = [each for each in (asked, self.trained) if each]
        return min(bounds, default=self.default)

    def plan(self, n_ctx: int, n_sequences: int = 1) -> LoadPlan:
        """Return how so many sequences of a context are loaded."""
        return load_plan(self._with(n_ctx, n_sequences), self._machine)

    def _with(self, n_ctx: int, n_sequences: int) -> LoadSpec:
        context = ContextSpec(
            default_ctx=n_ctx,
            most_sequences=n_sequences,
            layout="split",
            n_ctx=n_ctx,
            n_seq_max=n_sequences,
        )
        in_force = self._spec.settings
        roomy = in_force.model_copy(
            update={"n_batch": max(in_force.n_batch, n_sequences)}
        )
        return replace(self._spec, context=context, settings=roomy)

    def cost(self, n_ctx: int, n_sequences: int) -> Cost:
        """Return what so many sequences of a context take by the estimate."""
        estimate = self.plan(n_ctx, n_sequences).estimate
        cache = sum(
            device.kv + device.recurrent for device in (estimate.host, *estimate.gpus)
        )
        return Cost(estimate.totals, cache)

    def largest_estimated(self, least: int, most: int, limits: Memory) -> int:
        """Return the largest context whose estimate fits into the limits.

        It is ``most`` or a multiple of STEP; less than ``least`` if not even that fits.
        """

        def fits(n_ctx: int) -> bool:
            return self.plan(n_ctx).fits(limits)

        if fits(most):
            return most
        low, high = least // STEP, most // STEP
        if not fits(low * STEP):
            return 0
        while low < high:
            middle = (low + high + 1) // 2
            if fits(middle * STEP):
                low = middle
            else:
                high = middle - 1
        return low * STEP


def context_test_facts(test: ContextTest, hardware: dict[str, Any]) -> dict[str, Any]:
    """Return what a test's results will hold for, by the names of its columns.

    Raises CannotMeasure.
    """
    model = test.model
    try:
        in_force = measured_settings(model)
    except ValueError as error:
        raise CannotMeasure(str(error)) from None
    facts: dict[str, Any] = {
        "fingerprint": model.fingerprint,
        "hardware": hardware,
        "versions": _versions(),
        "settings": in_force,
    }
    # Our own version changes nothing about what llama.cpp takes.
    held = {**facts, "versions": facts["versions"]["llama-cpp-python"]}
    text = json.dumps([held, test.cache_type_k, test.cache_type_v], sort_keys=True)
    return facts | {"identity": hashlib.sha256(text.encode()).hexdigest()}


def _versions() -> dict[str, str]:
    found = {}
    for name in ("llama-cpp-python", "llm-manager"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "checkout"
    return found


def least_context(asked: int) -> int:
    """Return the smallest context that is measured, which is a bound of the search."""
    return max(asked, LEAST_CTX)

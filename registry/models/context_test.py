"""What context tests have measured, and what loads take from them.

A test is one model with one KV type on one machine. Its measurements are its journal:
each is written before it begins and when it ends, so that whatever ends a test, the
next one goes on after the last finished measurement.
"""

from __future__ import annotations

import platform
from typing import Any, Protocol

from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone

from registry.load_settings import LIVE_SETTINGS, SETTINGS
from registry.model_facts import ModelFacts

#: The numbers of sequences that a size is recommended for.
SEQUENCES = (1, 4, 16)
#: The one that counts for a model whose own number is not set: from four sequences on
#: a split cache is the better one (``inference/capacity/context.py``).
_USUAL_SEQUENCES = 4
#: Settings that a measurement does not depend on, or that it sets itself.
_NOT_MEASURED = {
    *LIVE_SETTINGS,
    "n_seq_max",
    "kv_layout",
    "cache_type_k",
    "cache_type_v",
    "shares_prefixes",
    "pooling_type",
    # Below: a result of before there were any holds for a model that has none.
    "rpc_servers",
}
_MEASURED = tuple(name for name in SETTINGS if name not in _NOT_MEASURED)


class ContextTestQuerySet(models.QuerySet["ContextTest"]):
    def open(self) -> ContextTestQuerySet:
        """Return the tests that were requested or run, the oldest request first."""
        return self.filter(state__in=_OPEN).order_by("requested_at", "pk")

    def for_engines(self) -> ContextTestQuerySet:
        """Return the tests that were requested of engines, the oldest first."""
        requested = self.filter(state=ContextTest.State.REQUESTED, is_for_engine=True)
        return requested.order_by("requested_at", "pk")

    def wait_for_engines(self) -> bool:
        """Return whether an engine has a test to run, or to settle one cut off.

        The process of a test of this host may have been killed.
        """
        cut_off = models.Q(state=ContextTest.State.RUNNING, node=platform.node())
        requested = models.Q(state=ContextTest.State.REQUESTED)
        return self.filter(requested | cut_off, is_for_engine=True).exists()


class ContextTest(models.Model):
    """The largest context of a model with one KV type on one machine."""

    class State(models.TextChoices):
        """``stopped`` tests can go on; ``failed`` ones cannot be measured at all."""

        REQUESTED = "requested", "Requested"
        RUNNING = "running", "Running"
        STOPPED = "stopped", "Stopped"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"

    model = models.ForeignKey(
        "registry.Model", on_delete=models.CASCADE, related_name="context_tests"
    )
    cache_type_k = models.CharField("K type", max_length=16)
    cache_type_v = models.CharField("V type", max_length=16)

    # What the results hold for.
    identity = models.CharField(
        max_length=64, blank=True, help_text="Digest of what the results hold for."
    )
    fingerprint = models.CharField(max_length=64, help_text="Of the model's file.")
    hardware = models.JSONField(
        default=dict, blank=True, help_text="Processor, memory and GPUs."
    )
    versions = models.JSONField(default=dict, blank=True)
    settings = models.JSONField(
        default=dict, blank=True, help_text="The load settings that were in force."
    )

    # What was asked for.
    min_ctx = models.PositiveIntegerField(
        "smallest context", default=512, validators=[MinValueValidator(256)]
    )
    max_ctx = models.PositiveIntegerField(
        "largest context",
        null=True,
        blank=True,
        validators=[MinValueValidator(256)],
        help_text="Empty: the trained context.",
    )
    budget_minutes = models.FloatField(
        "minutes", null=True, blank=True, validators=[MinValueValidator(0.1)]
    )
    requested_by = models.CharField(max_length=255, blank=True)
    requested_at = models.DateTimeField(default=timezone.now)
    is_cancelled = models.BooleanField(default=False)
    is_for_engine = models.BooleanField(
        default=False, help_text="An engine process runs it, not a command."
    )

    # How far it is.
    state = models.CharField(
        max_length=16, choices=State.choices, default=State.REQUESTED, db_index=True
    )
    reason = models.TextField(blank=True, help_text="Why it was stopped, or failed.")
    node = models.CharField(
        max_length=255, blank=True, help_text="The host that it runs on."
    )
    progress = models.FloatField(default=0, help_text="0 to 1.")
    seconds_left = models.FloatField(null=True)
    doing = models.CharField(max_length=255, blank=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    # Results, in tokens.
    tested_ctx = models.PositiveIntegerField(
        "largest that passed", null=True, blank=True
    )
    failed_ctx = models.PositiveIntegerField(
        "smallest that failed", null=True, blank=True
    )
    sane_ctx = models.PositiveIntegerField(
        "largest with sane answers",
        null=True,
        blank=True,
        help_text="Empty: the model is too small to tell.",
    )
    recommended = models.JSONField(
        default=dict,
        blank=True,
        help_text="By number of sequences: the context, and what bounds it.",
    )

    objects = ContextTestQuerySet.as_manager()

    class Meta:
        ordering = ["model__name", "-requested_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.model}, KV {self.kv_type}"

    @property
    def kv_type(self) -> str:
        """The type of K, and of V if it is another one: ``q8_0`` or ``q8_0/f16``."""
        return kv_type_name(self.cache_type_k, self.cache_type_v)

    @property
    def is_open(self) -> bool:
        """Whether it waits or runs."""
        return self.state in _OPEN

    @property
    def answers(self) -> str:
        """Whether answers at depth are sane, in a few words."""
        if not self.tested_ctx:
            return "-"
        if self.sane_ctx is None:
            return "too small to tell"
        if self.sane_ctx >= self.tested_ctx:
            return "sane"
        return f"sane up to {self.sane_ctx:,}" if self.sane_ctx else "not sane"

    @property
    def most_ctx(self) -> int | None:
        """The largest context that a load may have; None if no larger one failed."""
        return self.tested_ctx if self.failed_ctx else None

    def recommended_for(self, n_sequences: int | None) -> int | None:
        """Return the context that is recommended for so many sequences, in tokens.

        Between the numbers that have a recommendation, the larger one counts; None is
        the usual number.
        """
        wanted = n_sequences or _USUAL_SEQUENCES
        numbers = (each for each in SEQUENCES if each >= wanted)
        found = self.recommended.get(str(next(numbers, SEQUENCES[-1])))
        return found["n_ctx"] if found else None


_OPEN = (ContextTest.State.REQUESTED, ContextTest.State.RUNNING)


class ContextMeasurement(models.Model):
    """One context of a test: whether it works, what it takes and how fast it is."""

    class Outcome(models.TextChoices):
        """How a measurement ended; an interrupted one is measured once more."""

        RUNNING = "running", "Running"
        INTERRUPTED = "interrupted", "Interrupted"
        PASSED = "passed", "Passed"
        TOO_LARGE = "too_large", "Does not fit"
        FAILED = "failed", "Failed"
        KILLED = "killed", "Killed"

    test = models.ForeignKey(
        ContextTest, on_delete=models.CASCADE, related_name="measurements"
    )
    n_ctx = models.PositiveIntegerField("context")
    outcome = models.CharField(
        max_length=16, choices=Outcome.choices, default=Outcome.RUNNING
    )
    attempts = models.PositiveIntegerField(default=1)
    reason = models.TextField(blank=True, help_text="Why it did not pass.")
    memory = models.JSONField(
        default=list, blank=True, help_text="Bytes by device, the host first."
    )
    estimate = models.JSONField(
        default=list, blank=True, help_text="The same, estimated before."
    )
    load_seconds = models.FloatField(null=True, blank=True)
    speeds = models.JSONField(
        default=list,
        blank=True,
        help_text="By depth in tokens: prefill and decode, tokens a second.",
    )
    knows_fact = models.BooleanField(
        null=True, help_text="Whether it answers right at the end of the context."
    )
    knows_control = models.BooleanField(
        null=True, help_text="Whether it answers right after a short text."
    )
    was_beside = models.BooleanField(
        default=False, help_text="Whether the machine did other work meanwhile."
    )
    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["n_ctx"]
        constraints = [
            models.UniqueConstraint(
                fields=["test", "n_ctx"], name="registry_measured_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.n_ctx} tokens: {self.get_outcome_display().lower()}"

    @property
    def has_failed(self) -> bool:
        """Whether the context cannot be used.

        One in which the whole test ended twice counts as well: most likely it is the
        context that ended it.
        """
        if self.outcome == self.Outcome.INTERRUPTED:
            return self.attempts > 1
        return self.outcome in _FAILED


_FAILED = (
    ContextMeasurement.Outcome.TOO_LARGE,
    ContextMeasurement.Outcome.FAILED,
    ContextMeasurement.Outcome.KILLED,
)


class _TestedModel(ModelFacts, Protocol):
    """A row: a model with its tests."""

    @property
    def context_tests(self) -> Any: ...


def kv_type_name(cache_type_k: str, cache_type_v: str) -> str:
    """Return the name of a KV cache's types: one if they are the same."""
    same = cache_type_k == cache_type_v
    return cache_type_k if same else f"{cache_type_k}/{cache_type_v}"


def measured_settings(model: ModelFacts) -> dict[str, Any]:
    """Return the settings of a model that a measurement depends on, as JSON values.

    Raises ValueError if ``tensor_split`` cannot be read.
    """
    in_force = model.settings_in_force()
    values: dict[str, Any] = {name: getattr(in_force, name) for name in _MEASURED}
    values["tensor_split"] = list(in_force.tensor_split)
    if in_force.rpc_servers:
        values["rpc_servers"] = list(in_force.rpc_servers)
    drafter = model.draft_model if in_force.draft == "model" else None
    values["draft_model"] = drafter.fingerprint if drafter else ""
    values["adapters"] = [adapter.fingerprint for adapter in model.adapters()]
    return values


def result_in_force(
    model: _TestedModel, hardware: dict[str, Any] | None = None
) -> ContextTest | None:
    """Return the newest result for a model as it would be loaded now, if any.

    It is of the same file, KV types and settings, and of this ``hardware``, or of any
    if that is None. Reads ``model.context_tests``, which may be prefetched.
    """
    tests = [test for test in model.context_tests.all() if test.tested_ctx]
    if not tests:
        return None
    try:
        in_force = model.settings_in_force()
        settings = measured_settings(model)
    except ValueError:
        return None
    found = [
        test
        for test in tests
        if (test.cache_type_k, test.cache_type_v)
        == (in_force.cache_type_k, in_force.type_v)
        and (test.fingerprint, test.settings) == (model.fingerprint, settings)
        and hardware in (None, test.hardware)
    ]
    return max(found, key=lambda test: (test.requested_at, test.pk), default=None)


def context_at_load(model: _TestedModel, default: int) -> int:
    """Return the tokens per sequence that a model is loaded with, if memory allows.

    ``default`` is the configuration's. The model's own setting always wins, then what a
    context test recommends.
    """
    result = result_in_force(model)
    recommended = result.recommended_for(model.n_seq_max) if result else None
    most = result.most_ctx if result else None
    needed = max(recommended or default, model.n_ctx_seen or 0)
    bounds = [bound for bound in (model.context_length, most) if bound]
    return model.n_ctx or min([needed, *bounds])

"""A machine whose measurements a test decides, and models that it can measure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inference.capacity.machine import Machine
from inference.context_test import journal
from inference.context_test.fill_time import SpeedAtDepth
from inference.context_test.measuring_process import (
    FailedContext,
    MeasuredContext,
    MeasurementStopped,
    MeasuringProgress,
)
from inference.context_test.runner import Conditions, run_context_test
from inference.context_test.surroundings import Surroundings
from registry.models import Model
from registry.services import model_scan
from tests.tiny_models import write_tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from inference.engine.config.engine_config import EngineConfig
    from registry.models import ContextTest

HOST = "here"
GIB = 2**30
SPEED = 1000.0


@dataclass
class ScriptedMachine:
    """Measures nothing; up to ``limit`` tokens work, up to ``sane`` answers are sane.

    ``at`` is called with each context that is about to be measured.
    """

    limit: int = 10**9
    sane: int = 10**9
    knows_control: bool = True
    failure: FailedContext = field(
        default_factory=lambda: FailedContext("killed by SIGKILL", was_killed=True)
    )
    at: Callable[[int], None] = lambda _n_ctx: None
    now: float = 0.0
    measured: list[int] = field(default_factory=list)
    configs: list[EngineConfig] = field(default_factory=list)
    memory: tuple[int, ...] = ()
    speed: float = SPEED
    others: float = 0.0

    def measure(
        self,
        config: EngineConfig,
        *,
        should_stop: Callable[[], bool],
        on_progress: Callable[[MeasuringProgress], None],
        silent_s: float,
    ) -> MeasuredContext | FailedContext:
        n_ctx = config.n_ctx
        self.at(n_ctx)
        on_progress(MeasuringProgress(filled=n_ctx // 2))
        self.now += n_ctx / self.speed
        if should_stop():
            raise MeasurementStopped
        self.measured.append(n_ctx)
        self.configs.append(config)
        if n_ctx > self.limit:
            return self.failure
        return MeasuredContext(
            memory=self.memory or (100 * 2**20 + n_ctx * 1000,),
            load_seconds=0.1,
            speeds=tuple(
                SpeedAtDepth(int(n_ctx * share), self.speed, 10.0)
                for share in (0.1, 0.5, 1.0)
            ),
            knows_fact=n_ctx <= self.sane and self.knows_control,
            knows_control=self.knows_control,
            others=self.others,
        )

    def conditions(self, **others: Any) -> Conditions:
        others.setdefault(
            "sleep", lambda seconds: setattr(self, "now", self.now + seconds)
        )
        return Conditions(measure=self.measure, clock=lambda: self.now, **others)


def surroundings(
    *, memory: int = 8 * GIB, machine: Machine | None = None
) -> Surroundings:
    machine = machine or Machine(cpu="a processor")
    return Surroundings(
        host=HOST,
        machine=machine,
        limits=(memory, *(gpu.limit for gpu in machine.gpus)),
        hardware=machine.hardware(cpu_count=2, memory_total=memory),
    )


def tiny_model(folder: Path, name: str = "tiny", **columns: Any) -> Model:
    """Register a model that takes hardly any memory, trained on 4096 tokens."""
    write_tiny_model("llama", folder / f"{name}.gguf")
    model_scan(roots=[folder])
    Model.objects.filter(name=name).update(**columns)
    return Model.objects.get(name=name)


def begin(model: Model, kv_type: str = "f16", **asked: Any) -> ContextTest:
    """Add a test of a model, as a scan does."""
    return journal.context_test_start(
        model=model, cache_type_k=kv_type, cache_type_v=kv_type, host=HOST, **asked
    )


def run(
    test: ContextTest,
    machine: ScriptedMachine,
    around: Surroundings | None = None,
    **conditions: Any,
) -> int:
    """Run a test on a scripted machine; its row is fresh afterwards."""
    try:
        return run_context_test(
            test, around or surroundings(), machine.conditions(**conditions)
        )
    finally:
        test.refresh_from_db()

"""Any order of adding, stepping and aborting keeps the books balanced."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from inference.engine import EngineCore, GenerationRequest, SamplingParams
from inference.engine.prefix_cache import disk_cache
from inference.engine.prefix_cache.disk_cache import DiskCache
from inference.engine.prefix_cache.prefix_files import PrefixFolder
from tests.inference.engine.fakes import FakeBackend, FakeDrafter, oracle

if TYPE_CHECKING:
    from inference.engine.config.adapters import Adapters

#: Caches of every kind, small enough to be full all the time.
SHAPES: dict[str, dict[str, Any]] = {
    "split": {"n_seq_max": 3, "n_ctx": 128},
    "one slot": {"n_seq_max": 1, "n_ctx": 128},
    "unified": {"n_seq_max": 4, "n_ctx": 128, "n_cells": 200, "is_split": False},
    "unified, scarce": {
        "n_seq_max": 4,
        "n_ctx": 128,
        "n_cells": 128,
        "is_split": False,
    },
    "sliding window": {"n_seq_max": 3, "n_ctx": 128, "window": 20},
    "recurrent": {"n_seq_max": 3, "n_ctx": 128, "can_cut": False},
    "growing": {"n_seq_max": 4, "n_ctx": 32, "n_ctx_max": 128, "n_cells_max": 256},
    "growing, unified": {
        "n_seq_max": 4,
        "n_ctx": 32,
        "n_cells": 64,
        "n_ctx_max": 128,
        "n_cells_max": 128,
        "is_split": False,
    },
    "growing, no memory": {
        "n_seq_max": 2,
        "n_ctx": 96,
        "n_ctx_max": 128,
        "n_cells_max": 512,
    },
}
SHAPES |= {
    f"{name}, with drafts": SHAPES[name] | {"drafts_by_lookup": True}
    for name in ("split", "unified, scarce", "growing")
}
SHAPES |= {
    f"{name}, with a draft model": SHAPES[name]
    | {"drafter": FakeDrafter(wrong_every=5)}
    for name in ("split", "unified, scarce", "growing, unified")
}
SHAPES |= {
    f"{name}, with a grammar": SHAPES[name] | {"forces": True}
    for name in ("split", "unified, scarce", "growing", "recurrent", "sliding window")
}
SHAPES["unified, scarce, with a grammar and drafts"] = SHAPES["unified, scarce"] | {
    "forces": True,
    "drafts_by_lookup": True,
}
SHAPES |= {
    f"{name}, with a disk": SHAPES[name] | {"disk": True}
    for name in ("split", "one slot", "unified, scarce", "recurrent", "growing")
}
SYSTEMS = ("", "S" * 40, "S" * 40 + "T" * 30, "U" * 50)


#: What requests may run under.
ADAPTERS: tuple[Adapters, ...] = ((), (("pirate", 1.0),), (("pirate", 0.5),))


def written(prompt: str, count: int, adapters: Adapters = ()) -> str:
    """Return the answer of the unscripted model."""
    text = prompt
    for _ in range(count):
        text += oracle(text, adapters)
    return text[len(prompt) :]


class Walk(RuleBasedStateMachine):
    shape: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        super().__init__()
        options = dict(self.shape)
        self.folder = TemporaryDirectory() if options.pop("disk", False) else None
        self.backend = FakeBackend(n_batch=16, **options)
        ticks = count()
        self.core = EngineCore(
            self.backend,
            clock=lambda: next(ticks) / 1000,
            disk=self._disk(self.folder.name) if self.folder else None,
        )
        # Larger batches cost next to nothing, so every draft is tried.
        self.core.times.calibrate(1, 0.010)
        self.core.times.calibrate(4, 0.011)
        self.expected: dict[str, str] = {}
        self.got: dict[str, str] = {}
        self.prompts = [""]
        self.count = 0

    def _disk(self, path: str) -> DiskCache:
        folder = PrefixFolder(Path(path), model=b"m", max_bytes=20_000)
        return DiskCache(folder, can_cut=self.backend.can_cut)

    @rule(
        data=st.data(),
        tail=st.integers(1, 20),
        limit=st.integers(1, 12),
        owner=st.sampled_from("xy"),
        key=st.sampled_from("AB"),
        priority=st.integers(0, 1),
        idle_only=st.booleans(),
        adapters=st.sampled_from(ADAPTERS),
    )
    def add(
        self,
        data: st.DataObject,
        tail: int,
        limit: int,
        owner: str,
        key: str,
        priority: int,
        idle_only: bool,
        adapters: Adapters,
    ) -> None:
        self.count += 1
        name = f"r{self.count}"
        # A conversation goes on, or one begins on a system prompt that others have.
        before = data.draw(st.sampled_from([*SYSTEMS, *self.prompts]))
        prompt = (before + chr(0x1000 + self.count) * tail)[-110:]
        self.core.add(
            GenerationRequest(
                name,
                [ord(character) for character in prompt],
                SamplingParams(max_tokens=limit),
                adapters=adapters,
                owner=owner,
                key=key,
                priority=priority,
                idle_only=idle_only,
            )
        )
        self.expected[name] = written(prompt, limit, adapters)
        self.prompts = [*self.prompts[-3:], prompt + self.expected[name]]
        self.got[name] = ""

    @rule()
    def step(self) -> None:
        for output in self.core.step():
            self.got[output.request_id] += output.text
            if output.finish_reason is not None:
                name = output.request_id
                assert not output.error
                assert self.got.pop(name) == self.expected.pop(name)

    @rule()
    def run_out_of_cells(self) -> None:
        running = self.core.stats().num_running
        self.backend.exhaust_next = running > 1

    @precondition(lambda self: self.expected)
    @rule(data=st.data())
    def abort(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.expected)))
        self.core.abort([name])
        del self.expected[name], self.got[name]

    @rule()
    def tidy(self) -> None:
        self.core.tidy()

    @rule()
    def rest(self) -> None:
        self.core.rest()

    @invariant()
    def books_balance(self) -> None:
        self.core.check_integrity()
        stats = self.core.stats()
        assert stats.kv_cells_used == self.backend.num_used
        assert stats.num_running + stats.num_waiting == len(self.expected)

    def teardown(self) -> None:
        for _ in range(5000):
            if not self.core.has_work:
                break
            self.step()
            self.core.check_integrity()
        assert self.expected == {}
        assert self.backend.samplers == {}
        self.core.close()
        if self.folder is not None:
            self.folder.cleanup()


@pytest.mark.property
@pytest.mark.parametrize("shape", SHAPES)
def test_every_answer_is_right_whatever_happens_to_the_cache(
    shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_cache, "MIN_TOKENS", 16)
    monkeypatch.setattr(disk_cache, "_SLACK", 0)
    walk = type("Walk", (Walk,), {"shape": SHAPES[shape]})
    run_state_machine_as_test(
        walk,
        settings=settings(
            # A shorter walk to the same failure takes minutes to find.
            phases=(Phase.explicit, Phase.reuse, Phase.generate),
        ),
    )

"""The command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.options.commands import (
    BatchOptions,
    CompareOptions,
    GpuOptions,
    GrammarOptions,
    HostileOptions,
    IdleOptions,
    InterferenceOptions,
    ProfileOptions,
    SchemaOptions,
    SoakOptions,
    StartOptions,
    TargetOptions,
)
from benchmarks.options.parsing import parse
from benchmarks.systems import DEFAULT_SYSTEMS
from benchmarks.workloads.serving import QUICK_WORKLOADS, SCALING_WORKLOADS, WORKLOADS


def compared(line: str) -> CompareOptions:
    options = parse(line.split())
    assert isinstance(options, CompareOptions)
    return options


def test_without_a_word_everything_is_compared() -> None:
    options = compared("")
    assert options.workloads == WORKLOADS
    assert options.systems == DEFAULT_SYSTEMS
    assert options.rounds == 3


def test_quick_is_one_round_of_few() -> None:
    options = compared("--quick")
    assert options.workloads == QUICK_WORKLOADS
    assert options.rounds == 1
    assert compared("--quick --rounds 2").rounds == 2


def test_workloads_and_systems_by_name() -> None:
    options = compared("--workloads chat mixed --systems ours llama-server")
    assert [workload.name for workload in options.workloads] == ["chat", "mixed"]
    assert options.systems == ("ours", "llama-server")


def test_streams_are_decode_workloads() -> None:
    options = compared("--streams 3 5")
    assert [workload.name for workload in options.workloads] == ["decode-3", "decode-5"]


def test_scaling_measures_ours_by_its_own_table() -> None:
    options = compared("scaling --rounds 1")
    assert options.workloads == SCALING_WORKLOADS
    assert options.systems == ("ours",)
    assert options.rounds == 1


def test_hostile() -> None:
    options = parse(["hostile", "--attacks", "wrong-keys", "--seconds", "3"])

    assert options == HostileOptions(("wrong-keys",), 5, 3, 2, "Q4_0")


def test_batches() -> None:
    options = parse(["batches", "--lines", "100", "--limit", "1.2"])

    assert options == BatchOptions(100, 2, 40, 0.5, 3, 1.2, "Q4_0")


def test_idle() -> None:
    options = parse(["idle", "--seconds", "30"])

    assert options == IdleOptions(30, 20, 0.3, "Q4_0")


def test_interference_and_grammars() -> None:
    assert parse(["interference", "--streams", "2", "--cpu-time"]) == (
        InterferenceOptions(2, 1500, 10, cpu_time=True, quantization="Q4_0")
    )
    assert parse(["grammars"]) == GrammarOptions(5)


def test_schemas() -> None:
    assert parse(["schemas"]) == SchemaOptions(256, None)
    assert parse(["schemas", "--tokens", "9", "--model", "a.gguf"]) == (
        SchemaOptions(9, Path("a.gguf"))
    )


def test_profile_and_soak() -> None:
    assert parse(["profile", "--streams", "4"]) == ProfileOptions((4,), "Q4_0")
    assert parse(["soak", "--minutes", "0.5"]) == SoakOptions(0.5, 24, 1, "Q4_0")


@pytest.mark.parametrize(
    "line",
    [
        "--workloads nothing",
        "--systems nobody",
        "--rounds 0",
        "--streams 0",
        "--quick --streams 1",
        "soak --minutes 0.1",
        "soak --minutes nan",
        "measure",
    ],
)
def test_invalid_arguments_are_refused(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refusal:
        parse(line.split())
    assert refusal.value.code


def test_interference_of_targets() -> None:
    options = parse(["interference", "--targets", "0", "60"])
    assert isinstance(options, InterferenceOptions)
    assert options.targets == [0, 60]


def test_start() -> None:
    assert parse(["start", "--rounds", "2"]) == StartOptions(2, 15.0, None, "Q4_0")
    assert parse(["start", "--shape", "1b", "--rest", "9"]) == StartOptions(
        3, 9.0, "1b", "Q4_0"
    )


def test_targets_and_gpu() -> None:
    targets = parse(["targets", "--targets", "0", "60", "--workloads", "chat"])
    assert isinstance(targets, TargetOptions)
    assert targets.targets == (0, 60)
    assert [workload.name for workload in targets.workloads] == ["chat"]
    gpu = parse(["gpu", "--shape", "small", "--streams", "1", "4"])
    assert isinstance(gpu, GpuOptions)
    assert (gpu.shape, gpu.streams) == ("small", (1, 4))
    assert gpu.quantizations == ("Q4_K_M", "Q8_0")

"""Settings in force, and those that exclude each other."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from llm_manager.config.schema import KEYS, Config
from registry.gguf.memory_shape import MemoryShape, Weights, Widths
from registry.load_settings import (
    SETTINGS,
    LoadSettings,
    config_key,
    conflicts,
    parse_servers,
    parse_split,
    settings_in_force,
)
from registry.models import Model
from tests.configuration import changed


def in_force(config: Config | None = None, **own: Any) -> LoadSettings:
    return settings_in_force(config or Config(), SimpleNamespace(**own))


def refused(shape: MemoryShape | None = None, **own: Any) -> dict[str, str]:
    return dict(conflicts(in_force(**own), shape))


def test_every_setting_is_a_column_and_a_configuration_key() -> None:
    assert set(SETTINGS) == LoadSettings.model_fields.keys()
    assert set(SETTINGS) <= {field.name for field in Model._meta.get_fields()}
    assert {config_key(setting) for setting in SETTINGS} <= KEYS.keys()


def test_a_models_own_setting_beats_the_configurations() -> None:
    config = changed(Config(), engine__n_batch=1024)
    found = in_force(config, n_ubatch=64, is_pinned=False, numa="")
    assert (found.n_batch, found.n_ubatch, found.numa) == (1024, 64, "disabled")
    pinned = changed(Config(), engine__is_pinned=True)
    assert in_force(pinned).is_pinned
    assert not in_force(pinned, is_pinned=False).is_pinned


def test_v_is_as_k_unless_the_configuration_has_a_type_for_it() -> None:
    quantized = changed(Config(), gpu__cache_type_k="q8_0")
    assert in_force(quantized).type_v == "q8_0"
    assert in_force(changed(quantized, gpu__cache_type_v="q4_0")).type_v == "q4_0"
    assert in_force(cache_type_k="q8_0").type_v == "q8_0"
    # A quantised V would need flash attention.
    assert in_force(cache_type_k="q8_0", flash_attention="off").type_v == "f16"


def test_a_deterministic_model_has_no_flash_attention_and_needs_none() -> None:
    found = in_force(deterministic=True, cache_type_k="q8_0")
    assert (found.flash_in_force, found.type_v) == ("off", "f16")
    assert in_force().flash_in_force == "auto"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("kv_layout", "unified"),
        ("flash_attention", "on"),
        ("draft", "lookup"),
        ("draft", "model"),
    ],
)
def test_what_depends_on_other_requests_excludes_deterministic(
    setting: str, value: str
) -> None:
    chosen: dict[str, Any] = {setting: value}
    assert "deterministic" in refused(deterministic=True, **chosen)[setting]
    assert setting not in refused(**chosen)


def test_the_defaults_exclude_nothing() -> None:
    assert refused() == {}


@pytest.mark.parametrize(
    ("own", "field", "reason"),
    [
        (
            {"cache_type_v": "q8_0", "flash_attention": "off"},
            "cache_type_v",
            "V can be q8_0 only with flash attention, which is off.",
        ),
        ({"n_ubatch": 1024}, "n_ubatch", "A micro-batch of 1024 tokens is larger"),
        (
            {"n_seq_max": 64, "n_batch": 32, "n_ubatch": 32},
            "n_seq_max",
            "too small for one token of each of 64 sequences",
        ),
        (
            {"tensor_split": "3,1", "split_mode": "none"},
            "tensor_split",
            "so there are no shares",
        ),
        ({"main_gpu": 1}, "main_gpu", "used only with the split mode none"),
        (
            {"rpc_servers": "b:1", "split_mode": "row"},
            "rpc_servers",
            "on RPC servers by layers; the split mode is row",
        ),
    ],
)
def test_settings_that_exclude_each_other_are_named(
    own: dict[str, Any], field: str, reason: str
) -> None:
    found = refused(**own)
    assert list(found) == [field]
    assert reason in found[field]


@pytest.mark.parametrize(
    "own",
    [
        {"cache_type_v": "q8_0", "flash_attention": "auto"},
        {"cache_type_v": "bf16", "flash_attention": "off"},
        {"cache_type_k": "q4_0", "flash_attention": "off"},
        {"n_ubatch": 1024, "n_batch": 1024},
        {"main_gpu": 1, "split_mode": "none"},
        {"tensor_split": "3,1", "split_mode": "row"},
    ],
)
def test_settings_that_go_together_are_not_refused(own: dict[str, Any]) -> None:
    assert refused(**own) == {}


def shape(head: int = 128, *, is_mla: bool = False) -> MemoryShape:
    widths = Widths(head_k=head, head_v=head)
    return MemoryShape(Weights(), Weights(), (), widths, is_mla=is_mla)


def test_a_model_that_keeps_v_in_k_has_one_type() -> None:
    found = refused(shape(is_mla=True), cache_type_v="q8_0")
    assert "V cannot be q8_0" in found["cache_type_v"]
    both = {"cache_type_k": "q8_0", "cache_type_v": "q8_0"}
    assert refused(shape(is_mla=True), **both) == {}


def test_blocks_of_a_quantised_type_must_divide_a_head() -> None:
    assert (
        "a head of this model has 80"
        in (refused(shape(80), cache_type_k="q8_0")["cache_type_k"])
    )
    assert refused(shape(80)) == {}


@pytest.mark.parametrize(
    ("text", "split"), [("", ()), ("3,1", (3, 1)), (" 0.5 , 0, 2 ", (0.5, 0, 2))]
)
def test_shares_of_gpus_are_numbers(text: str, split: tuple[float, ...]) -> None:
    assert parse_split(text) == split


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("half", "must be numbers"),
        ("1;2", "must be numbers"),
        ("-1,2", "0 or more"),
        ("nan", "0 or more"),
        ("inf", "0 or more"),
        ("0,0", "above 0"),
        (",".join(["1"] * 17), "at most 16 GPUs"),
    ],
)
def test_other_shares_are_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_split(text)


def test_rpc_servers_are_read_in_their_order() -> None:
    found = parse_servers("10.0.0.2:50052, node-b.lan:1,")
    assert found == ("10.0.0.2:50052", "node-b.lan:1")
    assert parse_servers("") == ()


@pytest.mark.parametrize(
    ("servers", "reason"),
    [
        ("10.0.0.2", "a host and a port"),
        ("b:0", "a host and a port"),
        ("b:65536", "a host and a port"),
        ("http://b:1", "a host and a port"),
        ("b c:1", "a host and a port"),
        ("b:1,b:1", "once only"),
        (",".join(f"b:{n}" for n in range(1, 17)), "at most 15"),
    ],
)
def test_what_is_no_rpc_server_is_refused(servers: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_servers(servers)

"""What headers say about models: kind, numbers, templates, metadata."""

from __future__ import annotations

import io
import json
import math
from typing import TYPE_CHECKING, Any, get_args

import pytest
from django.db.models import CharField

from registry.errors import InvalidGGUF
from registry.gguf.architectures import why_not_alone
from registry.gguf.describe import (
    MAX_METADATA_SIZE,
    MAX_METADATA_STRING,
    ModelDescription,
    describe,
    names_tools,
)
from registry.gguf.describe import Kind as DescribedKind
from registry.gguf.header import parse_header
from registry.models import WITHOUT_FILE, Kind, Model
from tests.gguf_files import (
    F16,
    F32,
    Q4_K,
    Q6_K,
    Q8_0,
    TENSORS,
    TOOL_TEMPLATE,
    Tensor,
    Typed,
    bert_fields,
    header,
    llama_fields,
    lora_fields,
    mmproj_fields,
)
from tests.growth import is_in_proportion

if TYPE_CHECKING:
    from pathlib import Path

TEMPLATE = "tokenizer.chat_template"


def described(fields: Any, tensors: Any = TENSORS) -> ModelDescription:
    data, size = header(fields, tensors)
    stream = io.BytesIO(data.ljust(size, b"\0"))
    return describe([parse_header(stream, size)])


def llama(**changes: Any) -> ModelDescription:
    """Describe a Llama with some of its own keys changed: dots are written ``__``."""
    prefixed = {
        f"llama.{key.replace('__', '.')}": each for key, each in changes.items()
    }
    return described(llama_fields(prefixed))


# Kinds ------------------------------------------------------------------------


def test_a_chat_template_makes_a_chat_model() -> None:
    assert described(llama_fields()).kind == "chat"


def test_a_named_template_alone_makes_a_chat_model() -> None:
    fields = llama_fields({TEMPLATE: None, f"{TEMPLATE}.tool_use": TOOL_TEMPLATE})
    assert described(fields).kind == "chat"


def test_a_model_without_template_completes() -> None:
    fields = llama_fields({TEMPLATE: None, "general.name": "Chat Instruct Embedding"})
    assert described(fields).kind == "completion"


@pytest.mark.parametrize(("pooling", "name"), [(1, "mean"), (2, "cls"), (3, "last")])
def test_pooling_makes_an_embedding_model(pooling: int, name: str) -> None:
    found = llama(pooling_type=pooling)
    assert (found.kind, found.pooling) == ("embedding", name)


def test_an_encoder_without_pooling_is_an_embedding_model() -> None:
    found = described(bert_fields({"bert.pooling_type": 0}))
    assert (found.kind, found.pooling) == ("embedding", "none")


def test_a_model_without_causal_attention_is_an_embedding_model() -> None:
    assert llama(attention__causal=False).kind == "embedding"


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [
        ("gemma4-assistant", "draft_head"),
        ("eagle3", "draft_head"),
        ("dflash", "draft_head"),
        ("wavtokenizer-dec", "voice"),
        ("qwen3tts", "voice"),
        ("llada", "unsupported"),
        ("t5", "unsupported"),
        ("gptj", "unsupported"),
        ("llama5-of-tomorrow", "unsupported"),
    ],
)
def test_what_cannot_answer_alone_is_no_chat_model_and_says_why(
    architecture: str, kind: str
) -> None:
    found = described(llama_fields({"general.architecture": architecture}))
    assert found.kind == kind
    assert why_not_alone(found.kind, architecture).endswith(".")


def test_a_draft_head_needs_no_tokenizer_of_its_own() -> None:
    fields = llama_fields(
        {"general.architecture": "eagle3", "tokenizer.ggml.model": None}
    )
    assert described(fields).kind == "draft_head"


def test_rank_pooling_makes_a_reranker() -> None:
    found = described(bert_fields({"bert.pooling_type": 4}))
    assert (found.kind, found.pooling) == ("reranker", "rank")


def test_output_labels_make_a_reranker() -> None:
    labels = {"llama.classifier.output_labels": ["yes", "no"]}
    assert described(llama_fields(labels)).kind == "reranker"


@pytest.mark.parametrize(
    "changes",
    [{}, {"general.type": None}, {"general.architecture": "qwen2vl"}],
)
def test_a_projector_is_known_by_its_type_or_its_architecture(
    changes: dict[str, Any],
) -> None:
    assert described(mmproj_fields(changes)).kind == "projector"


@pytest.mark.parametrize("silent", ["general.name", "general.type", "adapter.type"])
def test_an_adapter_is_a_lora(silent: str) -> None:
    assert described(lora_fields({silent: None})).kind == "lora"


def test_the_kinds_are_those_of_the_model() -> None:
    assert set(Kind.values) - set(WITHOUT_FILE) == set(get_args(DescribedKind))


def test_every_field_of_a_description_is_a_column() -> None:
    columns = {field.name for field in Model._meta.get_fields()}
    assert set(ModelDescription.__dataclass_fields__) <= columns


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"general.type": "imatrix"}, "an importance matrix, not a model"),
        ({"general.architecture": "controlvector"}, "a control vector, not a model"),
        ({"general.name": "x"}, "the header states no architecture"),
        (
            {"general.architecture": "flux"},
            "not a language model: the architecture is 'flux'",
        ),
    ],
)
def test_what_is_no_language_model_is_refused(
    fields: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InvalidGGUF, match=reason):
        described(fields)


def test_a_vocabulary_without_tensors_is_refused() -> None:
    with pytest.raises(InvalidGGUF, match="a vocabulary without a model"):
        described(llama_fields(), [])


# Numbers ----------------------------------------------------------------------


def test_a_llama_has_its_numbers() -> None:
    found = described(llama_fields({"llama.attention.sliding_window": 512}))
    assert (found.title, found.size_label, found.license) == ("Tiny Llama", "1B", "mit")
    assert (found.context_length, found.block_count) == (2048, 4)
    assert (found.embedding_length, found.head_count, found.head_count_kv) == (64, 8, 2)
    assert found.kv_elements_per_token == 4 * 2 * (8 + 8)
    assert (found.vocab_size, found.tokenizer) == (4, "llama")
    assert found.sliding_window == 512


def test_parameters_are_those_that_the_header_states() -> None:
    found = described(llama_fields({"general.parameter_count": 8_030_261_248}))
    assert found.parameter_count == 8_030_261_248


def test_parameters_are_counted_where_the_header_states_none() -> None:
    assert described(llama_fields()).parameter_count == 64 * 8 + 64 * 64 + 64


def test_kv_heads_are_as_many_as_heads_where_the_header_is_silent() -> None:
    found = llama(attention__head_count_kv=None)
    assert found.head_count_kv == 8
    assert found.kv_elements_per_token == 4 * 8 * 16


def test_heads_by_layer_are_summed_and_the_largest_is_the_column() -> None:
    found = llama(
        attention__head_count_kv=[2, 0, 4, 0], attention__head_count=[8, 0, 8, 0]
    )
    assert (found.head_count, found.head_count_kv) == (8, 4)
    assert found.kv_elements_per_token == 6 * 16
    assert found.metadata["llama.attention.head_count_kv"] == [2, 0, 4, 0]
    assert found.metadata["llama.attention.head_count"] == [8, 0, 8, 0]


def test_the_first_layer_without_heads_does_not_divide_by_zero() -> None:
    found = llama(
        attention__head_count=[0, 8, 0, 8], attention__head_count_kv=[0, 2, 0, 2]
    )
    assert found.kv_elements_per_token == 4 * 16


def test_key_and_value_lengths_of_their_own_count() -> None:
    found = llama(attention__key_length=192, attention__value_length=128)
    assert found.kv_elements_per_token == 4 * 2 * 320


def test_a_recurrent_model_takes_no_kv() -> None:
    found = llama(attention__head_count=0, attention__head_count_kv=None)
    assert found.kv_elements_per_token == 0


def test_only_every_fourth_layer_of_a_hybrid_takes_kv() -> None:
    assert llama(full_attention_interval=4).kv_elements_per_token == 1 * 2 * 16
    fields = {
        key.replace("llama.", "qwen3next."): value
        for key, value in llama_fields().items()
    }
    found = described({**fields, "general.architecture": "qwen3next"})
    assert found.kv_elements_per_token == 1 * 2 * 16


@pytest.mark.parametrize(
    "changes",
    [
        {"block_count": None},
        {"attention__head_count": None, "attention__head_count_kv": None},
        {"embedding_length": None},
        {"block_count": 2**31 - 1, "attention__head_count_kv": 2**31},
    ],
)
def test_kv_is_unknown_where_the_header_does_not_say(changes: dict[str, Any]) -> None:
    assert llama(**changes).kv_elements_per_token is None


def test_a_number_that_no_column_takes_is_unknown() -> None:
    for number in (2**31, 2**64 - 1, Typed(5, -1), 1.5, True, "many", [1, -1], []):
        assert llama(context_length=number).context_length is None
    fields = llama_fields({"general.parameter_count": 2**64 - 1})
    assert described(fields).parameter_count is None


def test_experts_are_counted() -> None:
    found = llama(expert_count=128, expert_used_count=8)
    assert found.expert_count == 128
    assert found.metadata["llama.expert_used_count"] == 8


def test_the_vocabulary_is_counted_else_stated_else_the_embedding() -> None:
    tokens = "tokenizer.ggml.tokens"
    assert described(llama_fields({tokens: ["a"] * 20_000})).vocab_size == 20_000
    stated = llama_fields({tokens: None, "llama.vocab_size": 32_000})
    assert described(stated).vocab_size == 32_000
    assert described(llama_fields({tokens: None})).vocab_size == 8


# Quantisation -------------------------------------------------------------------


def test_the_file_type_names_the_quantisation() -> None:
    fields = llama_fields({"general.file_type": 15})
    assert described(fields).quantization == "Q4_K_M"


@pytest.mark.parametrize("stated", [None, 999, "Q4_0"])
def test_without_a_known_file_type_most_weights_name_it(stated: Any) -> None:
    tensors = [
        Tensor("output_norm.weight", (100_000,), F32),
        Tensor("token_embd.weight", (256, 10), Q6_K),
        Tensor("blk.0.ffn_up.weight", (256, 100), Q4_K),
        Tensor("blk.0.ffn_down.weight", (256, 50), Q8_0),
    ]
    fields = llama_fields({"general.file_type": stated})
    assert described(fields, tensors).quantization == "Q4_K"


def test_a_model_in_full_precision_has_its_type() -> None:
    fields = llama_fields({"general.file_type": None})
    assert described(fields, [Tensor("a", (8, 8), F16)]).quantization == "F16"


# Templates ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{% if tools %}x{% endif %}", True),
        ("{%- if not tools is defined %}{% set tools = none %}{% endif %}", True),
        ("{{ '}}' + tools | tojson }}", True),
        ('{{ "\\"}}" + (tools) }}', True),
        ("You may use tools.", False),
        ("{{ 'You may use tools.' }}", False),
        ('{{ "\\" tools" }}', False),
        ("{{ message.tools }}", False),
        ("{{ builtin_tools }}", False),
        ("{% if toolset %}", False),
        ("", False),
    ],
)
def test_a_template_that_reads_the_variable_supports_tools(
    template: str, expected: bool
) -> None:
    assert names_tools(template) is expected


def test_a_named_template_that_reads_the_variable_supports_tools() -> None:
    fields = llama_fields({f"{TEMPLATE}.tool_use": TOOL_TEMPLATE})
    found = described(fields)
    assert found.supports_tools
    assert found.metadata[f"{TEMPLATE}.tool_use"] == TOOL_TEMPLATE


@pytest.mark.no_cover  # It measures processor time.
@pytest.mark.parametrize(
    "template",
    [
        ("{%", ""),
        ("{{", "'"),
        ("{{'", "\\'"),
        ("{{'\"", ""),
    ],
)
def test_a_hostile_template_is_searched_in_linear_time(
    template: tuple[str, str],
) -> None:
    begin, unit = template

    def search(size: int) -> None:
        text = begin + unit * size + "\\" if unit else begin * size
        assert not names_tools(text)

    assert is_in_proportion(search, 400_000)


# Text and metadata ----------------------------------------------------------------


def test_special_tokens_are_there_as_text() -> None:
    metadata = described(llama_fields()).metadata
    assert (metadata["bos_token"], metadata["eos_token"]) == ("<s>", "</s>")
    assert metadata["tokenizer.ggml.bos_token_id"] == 1


def test_metadata_has_what_no_column_has() -> None:
    found = described(
        llama_fields(
            {"llama.rope.scaling.type": "yarn", "general.languages": ["en", "de"]}
        )
    )
    assert found.metadata["llama.rope.scaling.type"] == "yarn"
    assert found.metadata["general.languages"] == ["en", "de"]
    assert "general.name" not in found.metadata
    assert TEMPLATE not in found.metadata
    assert "tokenizer.ggml.tokens" in found.metadata  # Four of them are no burden.


def test_a_number_that_json_does_not_know_is_text() -> None:
    fields = llama_fields({"a": math.nan, "b": math.inf, "c": [0.5, -math.inf]})
    metadata = described(fields).metadata
    assert (metadata["a"], metadata["b"], metadata["c"]) == (
        "nan",
        "inf",
        [0.5, "-inf"],
    )
    json.dumps(metadata, allow_nan=False)


def test_no_text_holds_a_character_that_postgresql_refuses() -> None:
    nul = "a\0b"
    found = described(
        llama_fields({"general.name": nul, TEMPLATE: nul, nul: nul, "list": [nul]})
    )
    assert (found.title, found.chat_template) == ("ab", "ab")
    assert "\\u0000" not in json.dumps(found.metadata)


def test_long_text_is_cut_to_its_column() -> None:
    long = "x" * 10_000
    names = ("name", "size_label", "license", "architecture")
    fields: dict[str, Any] = {f"general.{name}": long for name in names}
    found = described(llama_fields({**fields, "tokenizer.ggml.model": long}))
    limits = {"title": 255, "size_label": 64, "license": 255, "architecture": 64}
    for column, limit in {**limits, "tokenizer": 64}.items():
        field = Model._meta.get_field(column)
        assert isinstance(field, CharField)
        assert len(getattr(found, column)) == limit == field.max_length


def test_long_metadata_is_cut_and_too_much_is_left_out() -> None:
    fields = llama_fields({f"note {number:03}": "x" * 10_000 for number in range(100)})
    metadata = described(fields).metadata
    assert len(metadata["note 000"]) == MAX_METADATA_STRING
    assert metadata["omitted"] > 0
    assert metadata["eos_token"] == "</s>"
    assert len(json.dumps(metadata)) < MAX_METADATA_SIZE * 1.1


# Real models ----------------------------------------------------------------------


def of_file(path: Path) -> ModelDescription:
    with path.open("rb") as stream:
        return describe([parse_header(stream, path.stat().st_size)])


def test_the_sample_model_is_what_its_makers_say(sample_model_path: Path) -> None:
    found = of_file(sample_model_path)
    assert (found.kind, found.architecture) == ("chat", "llama")
    assert (found.quantization, found.parameter_count) == ("Q4_1", 134_515_008)
    assert (found.context_length, found.block_count) == (8192, 30)
    assert (found.embedding_length, found.head_count, found.head_count_kv) == (
        576,
        9,
        3,
    )
    assert found.kv_elements_per_token == 11_520
    assert (found.vocab_size, found.tokenizer) == (49_152, "gpt2/smollm")
    assert found.license == "apache-2.0"
    assert found.metadata["bos_token"] == "<|im_start|>"
    assert found.metadata["eos_token"] == "<|im_end|>"
    assert found.chat_template.startswith("{% for message in messages %}")
    assert not found.supports_tools


def test_the_embedding_model_is_what_its_makers_say(embedding_model_path: Path) -> None:
    found = of_file(embedding_model_path)
    assert (found.kind, found.architecture) == ("embedding", "bert")
    assert (found.quantization, found.pooling) == ("Q8_0", "mean")
    assert (found.context_length, found.vocab_size) == (512, 30_522)

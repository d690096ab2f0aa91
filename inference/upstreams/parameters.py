"""What each kind of upstream takes of a request: the rest is refused by name.

From the servers' own documentation: OpenAI's API reference, vLLM's and SGLang's pages
on their OpenAI-compatible servers, llama-server's README, Ollama's page on OpenAI
compatibility. A server that takes less has the rest in a model's
``refused_parameters``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: The members of OpenAI's (or Anthropic's, Jina's) own API, by API.
_STANDARD: Mapping[str, frozenset[str]] = {
    "chat": _names(
        "model messages frequency_penalty function_call functions logit_bias logprobs "
        "max_completion_tokens max_tokens metadata n parallel_tool_calls prediction "
        "presence_penalty prompt_cache_key prompt_cache_options prompt_cache_retention "
        "reasoning_effort response_format safety_identifier seed service_tier stop "
        "store stream stream_options temperature tool_choice tools top_logprobs top_p "
        "user verbosity"
    ),
    "completions": _names(
        "model prompt best_of echo frequency_penalty logit_bias logprobs max_tokens n "
        "presence_penalty seed stop stream stream_options suffix temperature top_p user"
    ),
    "embeddings": _names("model input dimensions encoding_format user"),
    "rerank": _names("model query documents top_n return_documents"),
    "messages": _names(
        "model messages system max_tokens metadata stop_sequences stream temperature "
        "top_k top_p tools tool_choice thinking output_config output_format "
        "context_management cache_control service_tier container mcp_servers thread "
        "speed compaction inference_geo"
    ),
    "responses": _names(
        "model input instructions include max_output_tokens max_tool_calls metadata "
        "parallel_tool_calls prompt_cache_key prompt_cache_options "
        "prompt_cache_retention reasoning safety_identifier service_tier store stream "
        "stream_options temperature text tool_choice tools top_logprobs top_p "
        "truncation user"
    ),
}
_VLLM = _names(
    "add_generation_prompt chat_template_kwargs continue_final_message ignore_eos "
    "include_reasoning include_stop_str_in_output min_p min_tokens priority "
    "repetition_penalty stop_token_ids structured_outputs thinking_token_budget top_k"
)
_SGLANG = _names(
    "chat_template_kwargs continue_final_message ignore_eos lora min_p min_tokens "
    "priority repetition_penalty stop_token_ids top_k"
)
_TENSORRT_LLM = _names(
    "add_generation_prompt chat_template_kwargs ignore_eos include_stop_str_in_output "
    "min_p min_tokens repetition_penalty stop_token_ids top_k"
)
_LLAMA_SERVER = _names(
    "adaptive_decay adaptive_target add_generation_prompt cache_prompt "
    "chat_template_kwargs dry_allowed_length dry_base dry_multiplier "
    "dry_penalty_last_n dry_sequence_breakers dynatemp_exponent dynatemp_range grammar "
    "id_slot ignore_eos json_schema lora min_keep min_p mirostat mirostat_eta "
    "mirostat_tau reasoning_format repeat_last_n repeat_penalty samplers "
    "thinking_budget_tokens top_k top_n_sigma typical_p xtc_probability xtc_threshold"
)
#: What a server of each dialect takes beyond the standard; None is all.
_BEYOND: Mapping[str, frozenset[str] | None] = {
    "openai": frozenset(),
    "vllm": _VLLM,
    "sglang": _SGLANG,
    "tensorrt-llm": _TENSORRT_LLM,
    "llama-server": _LLAMA_SERVER,
    "ollama": _names("keep_alive"),
    "anthropic": frozenset(),
    "llm-manager": None,
}
#: What OpenAI has, and a dialect's server has not.
_WITHOUT: Mapping[str, frozenset[str]] = {
    "ollama": _names(
        "best_of echo function_call functions logit_bias n parallel_tool_calls "
        "prediction tool_choice"
    ),
}
#: Members that count here and are not the upstream's business: labels of the usage.
OURS = {"chat": frozenset({"metadata"}), "responses": frozenset({"metadata"})}


def taken(api: str, dialect: str) -> frozenset[str] | None:
    """Return the members that a dialect's server takes; None is every one."""
    beyond = _BEYOND[dialect]
    if beyond is None:
        return None
    return (_STANDARD[api] | beyond) - _WITHOUT.get(dialect, frozenset())


def refused(
    given: Iterable[str], api: str, dialect: str, without: Collection[str]
) -> str | None:
    """Return the first member of a request that the upstream cannot take, if any.

    ``without`` are those that this model cannot take.
    """
    members = taken(api, dialect)
    ours = OURS.get(api, frozenset())
    for name in given:
        if name in without:
            return name
        if members is not None and name not in members and name not in ours:
            return name
    return None


def forwarded(body: Mapping[str, Any], api: str, remote_name: str) -> dict[str, Any]:
    """Return the body that goes to the upstream.

    It is the client's own with the model's name there, and asks for the usage of a
    stream where the API has one.
    """
    ours = OURS.get(api, frozenset())
    sent = {
        name: value
        for name, value in body.items()
        if value is not None and name not in ours
    }
    sent["model"] = remote_name
    if api in ("chat", "completions") and sent.get("stream"):
        options = sent.get("stream_options") or {}
        sent["stream_options"] = {**options, "include_usage": True}
    return sent

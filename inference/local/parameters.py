"""The parameters of the Python API, with their types: those of the HTTP API.

Whether a value is right is decided by the HTTP API's own models; this is for editors
and type checkers. ``docs/api.md`` says what each means.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict

Message = dict[str, Any]


class GenerationParameters(TypedDict, total=False):
    """What ``generate`` takes besides the messages or the prompt."""

    adaptive_decay: float
    adaptive_target: float
    add_generation_prompt: bool
    audio: Any
    best_of: int
    cache_prompt: Any
    chat_template_kwargs: dict[str, Any]
    continue_final_message: bool
    dry_allowed_length: int
    dry_base: float
    dry_multiplier: float
    dry_penalty_last_n: int
    dry_sequence_breakers: list[str]
    dynatemp_exponent: float
    dynatemp_range: float
    echo: bool
    frequency_penalty: float
    function_call: str | dict[str, Any]
    functions: list[dict[str, Any]]
    grammar: str | dict[str, Any]
    guided_choice: list[str]
    guided_grammar: str
    guided_json: dict[str, Any]
    guided_regex: str
    id_slot: Any
    ignore_eos: bool
    include_reasoning: bool
    include_stop_str_in_output: bool
    json_schema: dict[str, Any]
    keep_alive: Any
    logit_bias: dict[str, float] | list[Any]
    logprobs: bool | int
    lora: list[dict[str, Any]]
    max_completion_tokens: int
    max_tokens: int
    metadata: dict[str, Any]
    min_keep: int
    min_p: float
    min_tokens: int
    mirostat: int
    mirostat_eta: float
    mirostat_tau: float
    modalities: Any
    moderation: Any
    n: int
    parallel_tool_calls: bool
    prediction: dict[str, Any]
    presence_penalty: float
    priority: int
    prompt_cache_key: Any
    prompt_cache_options: Any
    prompt_cache_retention: Any
    reasoning: dict[str, Any]
    reasoning_budget_tokens: int
    reasoning_effort: Literal[
        "none", "minimal", "low", "medium", "high", "xhigh", "max"
    ]
    reasoning_format: Literal["auto", "deepseek", "none"]
    repeat_last_n: int
    repeat_penalty: float
    repetition_penalty: float
    response_format: dict[str, Any]
    safety_identifier: Any
    samplers: list[str]
    seed: int
    service_tier: Any
    stop: str | list[str]
    stop_token_ids: list[int]
    store: Any
    stream_options: dict[str, Any]
    structured_outputs: dict[str, Any]
    suffix: str
    temperature: float
    thinking_budget: int
    thinking_budget_tokens: int
    thinking_token_budget: int
    tool_choice: str | dict[str, Any]
    tools: list[dict[str, Any]]
    top_k: int
    top_logprobs: int
    top_n_sigma: float
    top_p: float
    typical_p: float
    user: str
    verbosity: Any
    web_search_options: Any
    xtc_probability: float
    xtc_threshold: float

"""Seed-OSS: the format of Qwen3-Coder with tags of its own.

    <seed:tool_call>
    <function=NAME>
    <parameter=KEY>VALUE</parameter>
    </function>
    </seed:tool_call>

A value does not stand on a line of its own. Reasoning is between ``<seed:think>`` tags.

Source: the chat template of ByteDance-Seed/Seed-OSS-36B-Instruct; llama.cpp's
``common_chat_params_init_seed_oss``.
"""

from __future__ import annotations

from inference.output_parsers.reasoning import ReasoningTags
from inference.output_parsers.tagged_functions import tagged_functions

SEED_OSS = tagged_functions(
    "seed_oss",
    "<seed:tool_call>",
    "</seed:tool_call>",
    ReasoningTags(("<seed:think>",), ("</seed:think>",)),
)

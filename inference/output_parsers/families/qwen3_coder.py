"""Qwen3-Coder, Qwen3.5 and Nemotron 3: each argument between tags.

    <tool_call>
    <function=NAME>
    <parameter=KEY>
    VALUE
    </parameter>
    </function>
    </tool_call>

Source: the chat template of Qwen/Qwen3-Coder-30B-A3B-Instruct; llama.cpp's
``common_chat_params_init_qwen3_coder_xml``.
"""

from __future__ import annotations

from inference.output_parsers.reasoning import THINK
from inference.output_parsers.tagged_functions import tagged_functions

QWEN3_CODER = tagged_functions("qwen3_coder", "<tool_call>", "</tool_call>", THINK)

"""The output parser is detected from the chat template."""

from __future__ import annotations

from typing import Any

import pytest

from inference.output_parsers.families import OUTPUT_PARSERS, detect
from inference.output_parsers.families.plain_json import instructions


@pytest.mark.parametrize(
    ("name", "template"),
    [
        ("hermes", "within <tool_call></tool_call> XML tags:\\n<tool_call>\\n{\\"),
        ("qwen3_coder", "<tool_call>\\n<function=example>\\n<parameter=a>\\nvalue"),
        ("seed_oss", "'<seed:tool_call>' … <function=example>\\n<parameter=a>"),
        ("llama3", "'<|python_tag|>' + tool_call.name + '.call('"),
        ("llama3", "<|start_header_id|>ipython … '\"parameters\": '"),
        ("llama4", "'<|python_start|>' … '\"parameters\": '"),
        ("llama4", "<|header_start|>ipython … '\"parameters\": '"),
        ("llama4", "<|header_start|> … format: [func_name1(param1=value1"),
        ("mistral", "'[TOOL_CALLS][' … tool_call.function|tojson"),
        ("mistral_v11", "'[TOOL_CALLS]' + name + '[ARGS]' + arguments"),
        ("functionary_v31", "<function=example>{…}</function> … '<|python_tag|>'"),
        ("functionary_v32", "'>>>all\\n' + message['content']"),
        ("command_r", '<|START_ACTION|>[ … "tool_name" … <|START_RESPONSE|>'),
        ("deepseek_v3", "<｜tool▁calls▁begin｜> … '\\n' + '```json' + '\\n'"),
        ("deepseek_v31", "<｜tool▁calls▁begin｜> … <｜tool▁sep｜>"),
        ("glm45", "<tool_call>{function-name}\n<arg_key>{arg-key-1}</arg_key>"),
        ("kimi_k2", "<|tool_calls_section_begin|> … <|tool_call_begin|>"),
        ("harmony", "<|start|>assistant<|channel|>analysis<|message|>"),
        ("granite", "respond only with <|tool_call|> followed by a JSON list"),
        ("gemma4", "'<|tool_call>call:' + function['name'] + '{'"),
        ("gemma4", "'<|channel>thought\\n<channel|>'"),
        ("lfm2", "List of tools: <|tool_list_start|>["),
        ("lfm2", "'List of tools: [' … '<|tool_call_start|>['"),
        ("lfm2", "List of tools: ["),
        ("nemotron_v2", "'<TOOLCALL>[' … ']</TOOLCALL>'"),
        ("apertus", "'<|tools_prefix|>' … '<|tools_suffix|>'"),
        ("minimax_m2", "'<minimax:tool_call>' … <invoke name=\"tool-name-1\">"),
        ("deepseek_v32", "'｜DSML｜' … dsml_token + 'function_calls>'"),
        ("deepseek_v4", "'｜DSML｜' … dsml_token + 'tool_calls>'"),
        ("apriel", "the marker [BEGIN FINAL RESPONSE] … '<tool_calls>['"),
        ("gigachat3", "role + '<|role_sep|>\\n' … 'function call'"),
        ("gigachat31", "role + '<|role_sep|>\\n' … '<|function_call|>'"),
        ("hunyuan3", "HYTK = ':opensource' … '<tool_sep{}>' … '<arg_key{}>'"),
        ("minicpm5", '<function name="a"><param name="b">c</param></function>'),
        ("solar_open", "<|tool_call:begin|>id<|tool_call:name|>n<|tool_call:args|>"),
        ("kimi_k3", "'<|open|>' + tag … '<|close|>' … '<|end_of_msg|>'"),
        ("muse_glimmer", "'<|message|><atem:function_calls>'"),
        ("plain_json", "{% for message in messages %}{{ message.content }}"),
        ("minimax_m3", "']<]minimax[>[' … '<tool_call>'"),
    ],
)
def test_templates(name: str, template: str) -> None:
    assert detect(template) is OUTPUT_PARSERS[name]


def test_an_architecture_decides_where_the_template_does_not() -> None:
    assert detect("{{ messages }}", "gpt-oss").name == "harmony"
    assert detect("{{ messages }}", "llama").name == "plain_json"


def test_an_output_parser_is_found_by_its_name() -> None:
    assert all(parser.name == name for name, parser in OUTPUT_PARSERS.items())


def test_the_instructions_of_plain_json_name_every_function() -> None:
    functions: list[dict[str, Any]] = [
        {"name": "get", "description": "It {gets}.", "parameters": {"type": "object"}},
        {"name": "now"},
    ]
    text = instructions(functions)
    assert '{"name": "get", "description": "It {gets}.", "parameters": ' in text
    assert '{"name": "now"}' in text
    assert '{"name": "<name of the function>", "arguments": ' in text

"""What models of each family write, and what it means."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

Calls = tuple[tuple[str, dict[str, Any]], ...]


@dataclass(frozen=True)
class Transcript:
    """A text and its parts."""

    family: str
    text: str
    calls: Calls = ()
    content: str = ""
    reasoning: str = ""
    in_reasoning: bool = False

    def __str__(self) -> str:
        return f"{self.family} {self.text[:30]!r}"


PARIS = ("get_weather", {"city": "Paris"})
LYON = ("get_weather", {"city": "Lyon", "days": 3})
NOW: tuple[str, dict[str, Any]] = ("now", {})
FULL_OF_TAGS = (
    'He said "hi" \\ <tool_call></tool_call> [TOOL_CALLS] >>>all\n <|call|> </function>'
)
TRICKY = (
    "save",
    {
        "note": {
            "title": FULL_OF_TAGS,
            "nested": {"list": [1, -2.5e3, True, None, [], {}]},
        },
        "tags": ["é", "日本語", "😀", "}{][", "```", "<｜tool▁call▁end｜>"],
    },
)
#: As templates write it, and as json.dumps does by default.
TRICKY_JSON = json.dumps(TRICKY[1], ensure_ascii=False)
TRICKY_ASCII = json.dumps(TRICKY[1], indent=2)
TEXT = "Just text, with <b>tags</b> & {braces}, [links] and\n\n>>> prompts.\n"

HERMES = [
    Transcript(
        "hermes",
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n'
        "</tool_call>",
        (PARIS,),
    ),
    Transcript(
        "hermes",
        "<think>\nParis. I could <tool_call> now.\n</think>\n\n"
        "I'll look that up.\n\n<tool_call>\n"
        '{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>\n'
        '<tool_call>\n{"arguments": {"city": "Lyon", "days": 3}, '
        '"name": "get_weather"}\n</tool_call>\n',
        (PARIS, LYON),
        content="I'll look that up.",
        reasoning="Paris. I could <tool_call> now.",
    ),
    Transcript(
        "hermes",
        f'<tool_call>{{"name": "save", "arguments": {TRICKY_JSON}}}</tool_call>'
        f'<tool_call>{{"name": "save", "arguments": {TRICKY_ASCII}}}</tool_call>',
        (TRICKY, TRICKY),
    ),
    Transcript(
        "hermes",
        "so it goes</think>Done.",
        content="Done.",
        reasoning="so it goes",
        in_reasoning=True,
    ),
]

QWEN3_CODER = [
    Transcript(
        "qwen3_coder",
        "Let me see.\n\n<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n"
        "</parameter>\n</function>\n</tool_call>",
        (PARIS,),
        content="Let me see.",
    ),
    Transcript(
        "qwen3_coder",
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nLyon\n</parameter>\n"
        "<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>\n"
        "<tool_call>\n<function=now>\n</function>\n</tool_call>",
        (LYON, NOW),
    ),
    Transcript(
        "qwen3_coder",
        "<tool_call>\n<function=python>\n<parameter=code>\n\n"
        'print("</parameter>", \'<parameter=x>\')\n\treturn """\\n"""\n'
        "\n</parameter>\n</function>\n</tool_call>",
        (
            (
                "python",
                {
                    "code": "\nprint(\"</parameter>\", '<parameter=x>')\n"
                    '\treturn """\\n"""\n'
                },
            ),
        ),
    ),
    Transcript(
        "qwen3_coder",
        f"<tool_call>\n<function=save>\n<parameter=note>\n{json.dumps(TRICKY[1]['note'])}"
        f"\n</parameter>\n<parameter=tags>\n{json.dumps(TRICKY[1]['tags'], indent=1)}\n"
        "</parameter>\n</function>\n</tool_call>",
        (TRICKY,),
    ),
]

SEED_OSS = [
    Transcript(
        "seed_oss",
        "<seed:think>\nhm</seed:think>\n<seed:tool_call>\n<function=get_weather>\n"
        "<parameter=city>Lyon</parameter>\n<parameter=days>3</parameter>\n</function>\n"
        "</seed:tool_call>",
        (LYON,),
        reasoning="hm",
    ),
]

LLAMA3 = [
    Transcript(
        "llama3",
        '{"name": "get_weather", "parameters": {"city": "Paris"}}',
        (PARIS,),
    ),
    Transcript(
        "llama3",
        '<|python_tag|>{"type": "function", "name": "get_weather", "parameters": '
        '{"city": "Paris"}}; {"name": "now", "parameters": {}}',
        (PARIS, NOW),
    ),
    Transcript(
        "llama3",
        "Sure, let me look.\n\n"
        f'{{"name": "save", "parameters": {TRICKY_JSON}}}\n'
        f'{{"name": "save", "parameters": {TRICKY_ASCII}}}\nThat is all.',
        (TRICKY, TRICKY),
        content="Sure, let me look.\nThat is all.",
    ),
    Transcript(
        "llama3",
        '<|python_tag|>get_weather.call(city="Lyon", days=3)',
        (LYON,),
    ),
    Transcript(
        "llama3",
        '<|python_tag|>import math\nprint("\\n", 2)',
        (("python", {"code": 'import math\nprint("\\n", 2)'}),),
    ),
]

LLAMA4 = [
    Transcript(
        "llama4",
        "<|python_start|>Look:<|python_end|>"
        '{"name": "get_weather", "parameters": {"city": "Paris"}}'
        '{"name": "now", "parameters": {}}',
        (PARIS, NOW),
        content="Look:",
    ),
    Transcript(
        "llama4",
        "[get_weather(city='Lyon', days=3),now()]\nDone.",
        (LYON, NOW),
        content="Done.",
    ),
    Transcript(
        "llama4",
        "<|python_start|>[save(note={'city': 'LA', 'none': None}, tags=['John', "
        "'Johnny'], rating=9), get_weather(city='Martha\\'s Vineyard', "
        "unit='\\\"C\\\"')]<|python_end|>",
        (
            (
                "save",
                {
                    "note": {"city": "LA", "none": None},
                    "tags": ["John", "Johnny"],
                    "rating": 9,
                },
            ),
            ("get_weather", {"city": "Martha's Vineyard", "unit": '"C"'}),
        ),
    ),
    Transcript(
        "llama4",
        "How can I help? [nobody(a=1)] [1, 2]\n[link](url)",
        content="How can I help? [nobody(a=1)] [1, 2]\n[link](url)",
    ),
]

MISTRAL = [
    Transcript(
        "mistral",
        '[TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Paris"}, '
        '"id": "abcDEF123"}, {"name": "now", "arguments": {}}]',
        (PARIS, NOW),
    ),
    Transcript(
        "mistral",
        f'Saving.[TOOL_CALLS][{{"name": "save", "arguments": {TRICKY_ASCII}}}]',
        (TRICKY,),
        content="Saving.",
    ),
]

MISTRAL_V11 = [
    Transcript(
        "mistral_v11",
        "[THINK]Paris [TOOL_CALLS]?[/THINK]One moment. "
        '[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}'
        "[TOOL_CALLS]now[CALL_ID]abcDEF123[ARGS]{}",
        (PARIS, NOW),
        content="One moment.",
        reasoning="Paris [TOOL_CALLS]?",
    ),
    Transcript("mistral_v11", f"[TOOL_CALLS]save[ARGS]{TRICKY_JSON}", (TRICKY,)),
    Transcript("mistral_v11", '[TOOL_CALLS]get_weather{"city": "Paris"}', (PARIS,)),
]

FUNCTIONARY = [
    Transcript(
        "functionary_v31",
        'Look:\n<function=get_weather>{"city": "Paris"}</function>\n'
        "<function=now>{}</function>",
        (PARIS, NOW),
        content="Look:",
    ),
    Transcript(
        "functionary_v31", f"<function=save>{TRICKY_JSON}</function>", (TRICKY,)
    ),
    Transcript(
        "functionary_v31",
        "<|python_tag|>print(1)\n",
        (("python", {"code": "print(1)\n"}),),
    ),
    Transcript(
        "functionary_v32",
        "all\nLook:\n>>> print(1)\n1\n>>>get_weather\n"
        '{"city": "Paris"}>>>get_weather\n{"city": "Lyon", "days": 3}',
        (PARIS, LYON),
        content="Look:\n>>> print(1)\n1",
    ),
    Transcript("functionary_v32", f"save\n{TRICKY_ASCII}\n", (TRICKY,)),
]

COMMAND_R = [
    Transcript(
        "command_r",
        "<|START_THINKING|>I will look.<|END_THINKING|><|START_ACTION|>[\n"
        '    {"tool_call_id": "0", "tool_name": "get_weather", "parameters": '
        '{"city": "Paris"}},\n    {"tool_call_id": "1", "tool_name": "save", '
        f'"parameters": {TRICKY_JSON}}}\n]<|END_ACTION|>',
        (PARIS, TRICKY),
        reasoning="I will look.",
    ),
    Transcript(
        "command_r",
        "<|START_RESPONSE|>It is warm.<|END_RESPONSE|>",
        content="It is warm.",
    ),
]

DEEPSEEK = [
    Transcript(
        "deepseek_v3",
        "Okay.\n</think>\n\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function"
        '<｜tool▁sep｜>get_weather\n```json\n{"city": "Paris"}\n```'
        "<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>save\n```json\n"
        f"{TRICKY_ASCII}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        (PARIS, TRICKY),
        reasoning="Okay.",
        in_reasoning=True,
    ),
    Transcript(
        "deepseek_v31",
        "Let me see<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>"
        '{"city": "Paris"}<｜tool▁call▁end｜><｜tool▁call▁begin｜>now<｜tool▁sep｜>{}'
        "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        (PARIS, NOW),
        content="Let me see",
    ),
]

GLM45 = [
    Transcript(
        # Ling 3.0 spells the end of its turn.
        "glm45",
        "I need the weather.\n<tool_call>get_weather\n<arg_key>city</arg_key>\n"
        "<arg_value>Paris</arg_value>\n</tool_call><|role_end|>",
        (PARIS,),
        reasoning="I need the weather.",
        in_reasoning=True,
    ),
    Transcript(
        "glm45",
        "\n<think>Lyon.</think>\nI'll check.\n<tool_call>get_weather\n"
        "<arg_key>city</arg_key>\n<arg_value>Lyon</arg_value>\n"
        "<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>\n"
        "<tool_call>now\n</tool_call>",
        (LYON, NOW),
        content="I'll check.",
        reasoning="Lyon.",
    ),
    Transcript(
        "glm45",
        "</think><tool_call>python<arg_key>code</arg_key><arg_value>\n"
        'print("</arg_value>")\n</arg_value></tool_call>',
        (("python", {"code": '\nprint("</arg_value>")\n'}),),
        in_reasoning=True,
    ),
]

KIMI_K2 = [
    Transcript(
        "kimi_k2",
        "<think>Look.</think>Looking.<|tool_calls_section_begin|><|tool_call_begin|>"
        'functions.get_weather:0<|tool_call_argument_begin|>{"city": "Paris"}'
        "<|tool_call_end|><|tool_call_begin|>functions.save:1"
        f"<|tool_call_argument_begin|>{TRICKY_JSON}<|tool_call_end|>"
        "<|tool_calls_section_end|>",
        (PARIS, TRICKY),
        content="Looking.",
        reasoning="Look.",
    ),
]

HARMONY = [
    Transcript(
        "harmony",
        "<|channel|>analysis<|message|>2 + 2, to=functions.now?<|end|>"
        "<|start|>assistant<|channel|>final<|message|>2 + 2 = 4.<|return|>",
        content="2 + 2 = 4.",
        reasoning="2 + 2, to=functions.now?",
    ),
    Transcript(
        "harmony",
        "<|channel|>analysis<|message|>Need Paris.<|end|><|start|>assistant<|channel|>"
        "commentary<|message|>**Plan**: look.<|end|><|start|>assistant<|channel|>"
        "commentary to=functions.get_weather <|constrain|>json<|message|>"
        '{"city": "Paris"}<|call|><|start|>assistant to=functions.now<|channel|>'
        "commentary json<|message|>{}",
        (PARIS, NOW),
        content="**Plan**: look.",
        reasoning="Need Paris.",
    ),
    Transcript(
        "harmony",
        " to=functions.save<|channel|>commentary <|constrain|>json<|message|>"
        f"{TRICKY_JSON}<|call|>",
        (TRICKY,),
    ),
    Transcript(
        "harmony",
        "<|channel|>analysis to=get_weather code<|message|>\n"
        '{"city": "Lyon", "days": 3}',
        (LYON,),
    ),
]

GRANITE = [
    Transcript(
        "granite",
        '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Paris"}}, '
        f'{{"name": "save", "arguments": {TRICKY_ASCII}}}]',
        (PARIS, TRICKY),
    ),
    Transcript(
        "granite",
        "Here is my thought process:\nHm. Here is my response:\n\nIt is warm.",
        content="It is warm.",
        reasoning="Hm.",
    ),
    Transcript(
        "granite",
        "<think>Hm.</think>\n<response>Warm, <b>not</b> hot.</response>",
        content="Warm, <b>not</b> hot.",
        reasoning="Hm.",
    ),
]

NEMOTRON_V2 = [
    Transcript(
        "nemotron_v2",
        "I'm\nthinking\n</think>\n\n"
        '<TOOLCALL>[{"name": "get_weather", "arguments": {"city": "Paris"}}, '
        f'{{"name": "save", "arguments": {TRICKY_JSON}}}]</TOOLCALL>\n',
        (PARIS, TRICKY),
        reasoning="I'm\nthinking",
        in_reasoning=True,
    ),
    Transcript(
        "nemotron_v2",
        'Let me see.\n<TOOLCALL>[{"name": "now", "arguments": "{}"}]</TOOLCALL>',
        (NOW,),
        content="Let me see.",
    ),
]

APERTUS = [
    Transcript(
        "apertus",
        f'<|tools_prefix|>[{{"get_weather": {{"city": "Paris"}}}}, {{"save": '
        f"{TRICKY_ASCII}}}]<|tools_suffix|>",
        (PARIS, TRICKY),
    ),
    Transcript(
        "apertus",
        '<|inner_prefix|>The time!<|tools_prefix|>[{"now": {}}]<|tools_suffix|>',
        (NOW,),
        reasoning="The time!",
    ),
    Transcript(
        "apertus",
        "<|inner_prefix|>Paris.<|inner_suffix|>Look:\n"
        '<|tools_prefix|>[ { "now" : {} } ]<|tools_suffix|>',
        (NOW,),
        content="Look:",
        reasoning="Paris.",
    ),
    Transcript(
        "apertus",
        '<|tools_prefix|>[{"nobody": {"a": 1}}]<|tools_suffix|> [1]',
        content='[{"nobody": {"a": 1}}] [1]',
    ),
]

MINIMAX_M2 = [
    Transcript(
        "minimax_m2",
        "Let's call a tool:\n</think>\n\n<minimax:tool_call>\n"
        '<invoke name="now">\n</invoke>\n</minimax:tool_call>',
        (NOW,),
        reasoning="Let's call a tool:",
        in_reasoning=True,
    ),
    Transcript(
        "minimax_m2",
        'Both.\n<minimax:tool_call>\n<invoke name="get_weather">\n'
        '<parameter name="city">Lyon</parameter>\n<parameter name="days">3</parameter>'
        '\n</invoke>\n<invoke name="python">\n<parameter name="code">print("</p>")\n\n'
        "</parameter>\n</invoke>\n</minimax:tool_call>",
        (LYON, ("python", {"code": 'print("</p>")\n\n'})),
        content="Both.",
    ),
    Transcript(
        "minimax_m2",
        f'<invoke name="save"><parameter name="note">{json.dumps(TRICKY[1]["note"])}'
        f'</parameter><parameter name="tags">{json.dumps(TRICKY[1]["tags"])}'
        '</parameter></invoke> <invoke name="nobody"></invoke>',
        (TRICKY,),
        content='<invoke name="nobody"></invoke>',
    ),
]

_M = "]<]minimax[>["
MINIMAX_M3 = [
    Transcript(
        "minimax_m3",
        f"<mm:think>Calling both</mm:think>Look:{_M}<tool_call>\n"
        f'{_M}<invoke name="get_weather">{_M}<city>Paris{_M}</city>{_M}</invoke>\n'
        f'{_M}<invoke name="get_weather">{_M}<city>Lyon{_M}</city>'
        f"{_M}<days>3{_M}</days>{_M}</invoke>\n{_M}</tool_call>",
        (PARIS, LYON),
        content="Look:",
        reasoning="Calling both",
    ),
    Transcript(
        "minimax_m3",
        f'</mm:think>{_M}<tool_call>\n{_M}<invoke name="now">{_M}</invoke>\n'
        f'{_M}<invoke name="save">{_M}<note>{_M}<a>{_M}<item>1.5{_M}</item>'
        f"{_M}<item>{_M}<b>x</b>{_M}</b>{_M}</item>{_M}</a>{_M}<c>{_M}</c>{_M}</note>"
        f"{_M}<tags>{_M}</tags>{_M}<rating>-2.5{_M}</rating>{_M}</invoke>\n"
        f"{_M}</tool_call>",
        (
            NOW,
            (
                "save",
                {
                    "note": {"a": [1.5, {"b": "x</b>"}], "c": ""},
                    "tags": [],
                    "rating": -2.5,
                },
            ),
        ),
    ),
    Transcript(
        "minimax_m3",
        f'{_M}<tool_call>{_M}<invoke name="nobody">{_M}<a>1{_M}</a>{_M}</invoke>',
        content=f'{_M}<invoke name="nobody">{_M}<a>1{_M}</a>{_M}</invoke>',
    ),
]

_CITY = '<｜DSML｜parameter name="city" string="true">'
_CITY_END = "</｜DSML｜parameter>\n"
DEEPSEEK_V32 = [
    Transcript(
        "deepseek_v32",
        "Calling both</think>\n\n<｜DSML｜function_calls>\n"
        f'<｜DSML｜invoke name="get_weather">\n{_CITY}Paris{_CITY_END}'
        "</｜DSML｜invoke>\n"
        f'<｜DSML｜invoke name="get_weather">\n{_CITY}Lyon{_CITY_END}'
        '<｜DSML｜parameter name="days" string="false">3</｜DSML｜parameter>\n'
        "</｜DSML｜invoke>\n</｜DSML｜function_calls>",
        (PARIS, LYON),
        reasoning="Calling both",
        in_reasoning=True,
    ),
    Transcript(
        "deepseek_v4",
        "Let me see.\n\n<｜DSML｜tool_calls>\n"
        '<｜DSML｜invoke name="now">\n\n</｜DSML｜invoke>\n'
        '<｜DSML｜invoke name="save">\n'
        '<｜DSML｜parameter name="note" string="false">'
        f"{json.dumps(TRICKY[1]['note'])}{_CITY_END}"
        f'<｜DSML｜parameter name="tags" string="false">'
        f"{json.dumps(TRICKY[1]['tags'])}{_CITY_END}"
        "</｜DSML｜invoke>\n</｜DSML｜tool_calls>",
        (NOW, TRICKY),
        content="Let me see.",
    ),
    Transcript(
        # What the model says of a value's type counts where the schema allows it.
        "deepseek_v4",
        '<｜DSML｜tool_calls><｜DSML｜invoke name="get_weather">'
        '<｜DSML｜parameter name="city" string="false">"5"</｜DSML｜parameter>'
        '<｜DSML｜parameter name="days" string="true">5</｜DSML｜parameter>'
        '<｜DSML｜parameter name="when" string="true">5</｜DSML｜parameter>'
        '<｜DSML｜parameter name="unit">C</｜DSML｜parameter>'
        "</｜DSML｜invoke></｜DSML｜tool_calls>",
        (("get_weather", {"city": "5", "days": 5, "when": "5", "unit": "C"}),),
    ),
]

GEMMA4 = [
    Transcript(
        "gemma4",
        "<|channel>thought\nI'm\nthinking<channel|>Look:"
        '<|tool_call>call:get_weather{city:<|"|>Paris<|"|>}<tool_call|>'
        '<|tool_call>call:get_weather{city:<|"|>Lyon<|"|>,days:3}<tool_call|>',
        (PARIS, LYON),
        content="Look:",
        reasoning="I'm\nthinking",
    ),
    Transcript(
        "gemma4",
        "<|tool_call>call:save{note:{"
        f'nested:{{list:[1,-2.5e3,true,null,[],{{}}]}},title:<|"|>{FULL_OF_TAGS}<|"|>}},'
        'rating:-2.5,<|"|>tags<|"|>:[ <|"|>a,b}<|"|> , "c\\"" ,]}<tool_call|>',
        (
            (
                "save",
                {
                    "note": {
                        "nested": {"list": [1, -2.5e3, True, None, [], {}]},
                        "title": FULL_OF_TAGS,
                    },
                    "rating": -2.5,
                    "tags": ["a,b}", 'c"'],
                },
            ),
        ),
    ),
    Transcript(
        # Words without quotes, a stray colon, no end, and a call without its tag.
        "gemma4",
        "<|tool_call>:call:get_weather{ city: Aix les Bains, hourly: True }\n"
        'call:python{code:<|"|>print(1)<|"|>}<tool_call|>',
        (
            ("get_weather", {"city": "Aix les Bains", "hourly": True}),
            ("python", {"code": "print(1)"}),
        ),
    ),
    Transcript(
        "gemma4",
        "<|channel><|channel>thought\n<channel|>Hello, world!<|channel>thought\nDone."
        "<channel|><channel|><|tool_call>call:now{}<tool_call|>",
        (NOW,),
        content="Hello, world!",
        reasoning="Done.",
    ),
    Transcript(
        "gemma4",
        "The phone call:now <|tool_call>call:nobody{}<tool_call|>{a:1}",
        content="The phone call:now call:nobody{}{a:1}",
    ),
]

LFM2 = [
    Transcript(
        "lfm2",
        "<think>I'm\nthinking <|tool_call_start|>[now()]<|tool_call_end|></think>Look:"
        '<|tool_call_start|>[get_weather(city="Paris"), now()]<|tool_call_end|>',
        (PARIS, NOW),
        content="Look:",
        reasoning="I'm\nthinking <|tool_call_start|>[now()]<|tool_call_end|>",
    ),
    Transcript(
        "lfm2",
        "<|tool_call_start|>[save(note={'a': [True, None, (1, 2.50)], \"b\": true}, "
        "tags=['é', \"x\\'y\", '']), get_weather(city=5, days = 007, hourly=False,)]"
        "<|tool_call_end|>",
        (
            (
                "save",
                {
                    "note": {"a": [True, None, [1, 2.5]], "b": True},
                    "tags": ["é", "x'y", ""],
                },
            ),
            ("get_weather", {"city": "5", "days": 7, "hourly": False}),
        ),
    ),
    Transcript(
        "lfm2",
        "<|tool_call_start|>[python(code=\"def hello():\\n\\tprint('hey')\\u00e9\\x41"
        '\\d")]<|tool_call_end|>',
        (("python", {"code": "def hello():\n\tprint('hey')éA\\d"}),),
    ),
    Transcript(
        # Quotes in a string, as they are: the template writes earlier calls so.
        "lfm2",
        "<|tool_call_start|>[python(code='sed -n '1,9p' f.py, print('a')\n'), "
        "get_weather(city='L'Isle', unit='C')]<|tool_call_end|>Done.",
        (
            ("python", {"code": "sed -n '1,9p' f.py, print('a')\n"}),
            ("get_weather", {"city": "L'Isle", "unit": "C"}),
        ),
        content="Done.",
    ),
    Transcript(
        "lfm2",
        '<|tool_call_start|>[{"name": "get_weather", "arguments": {"city": "Paris"}}]'
        "<|tool_call_end|>",
        (PARIS,),
    ),
    Transcript(
        "lfm2",
        '<|tool_call_start|>[python(code="""a "b"\n""")]<|tool_call_end|>',
        (("python", {"code": 'a "b"\n'}),),
    ),
    Transcript(
        "lfm2",
        "<|tool_call_start|>[save(note={}, tags=[0x10, 1_000, +.5, 1+1], rating=1e2)]"
        "<|tool_call_end|>",
        (("save", {"note": {}, "tags": [16, 1000, 0.5, "1+1"], "rating": 1e2}),),
    ),
    Transcript(
        "lfm2",
        "A [link](url) and <|tool_call_start|>[nobody(a=1)]<|tool_call_end|>",
        content="A [link](url) and [nobody(a=1)]",
    ),
]

APRIEL = [
    Transcript(
        "apriel",
        "I'm\nthinking\n[BEGIN FINAL RESPONSE]\nHello, world!\n[END FINAL RESPONSE]",
        content="Hello, world!\n",
        reasoning="I'm\nthinking",
        in_reasoning=True,
    ),
    Transcript(
        "apriel",
        "Here are my reasoning steps:\nHm.\n[BEGIN FINAL RESPONSE]\n<tool_calls>["
        '{"name": "get_weather", "arguments": {"city": "Paris"}}, '
        f'{{"name": "save", "arguments": {TRICKY_JSON}}}]</tool_calls>',
        (PARIS, TRICKY),
        reasoning="Hm.",
    ),
    Transcript(
        "apriel",
        "<thinking>Hm.</thinking>\n"
        '<tool_calls>[{"name": "now", "arguments": {}, "id": "1"}]</tool_calls>',
        (NOW,),
        reasoning="Hm.",
    ),
]

GIGACHAT = [
    Transcript(
        "gigachat3",
        "Let me see.<|message_sep|>\n\nfunction call<|role_sep|>\n"
        '{"name": "get_weather", "arguments": {"city": "Paris"}}',
        (PARIS,),
        content="Let me see.",
    ),
    Transcript(
        "gigachat3",
        f'function call<|role_sep|>\n{{"name": "save", "arguments": {TRICKY_ASCII}}}',
        (TRICKY,),
    ),
    Transcript(
        "gigachat31",
        "Let me see.<|function_call|>"
        '{"name": "get_weather", "arguments": {"city": "Paris"}}<|message_sep|>\n\n',
        (PARIS,),
        content="Let me see.",
    ),
]


def _hunyuan(*parts: str) -> str:
    """Return parts, with the suffix on the tags in them."""
    return "".join(parts).replace(">", ":opensource>")


HUNYUAN3 = [
    Transcript(
        "hunyuan3",
        _hunyuan(
            "<think>Lyon.</think>Let me see.<tool_calls>\n",
            "<tool_call>get_weather<tool_sep>\n",
            "<arg_key>city</arg_key>\n<arg_value>Lyon</arg_value>\n",
            "<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>\n",
            "<tool_call>now<tool_sep>\n</tool_call>\n</tool_calls>",
        ),
        (LYON, NOW),
        content="Let me see.",
        reasoning="Lyon.",
    ),
    Transcript(
        "hunyuan3",
        _hunyuan("hm</think>It is warm."),
        content="It is warm.",
        reasoning="hm",
        in_reasoning=True,
    ),
]

MINICPM5 = [
    Transcript(
        "minicpm5",
        "I'm thinking</think>"
        '<function name="get_weather"><param name="city">Lyon</param>'
        '<param name="days">3</param></function>\n<function name="now"></function>',
        (LYON, NOW),
        reasoning="I'm thinking",
        in_reasoning=True,
    ),
    Transcript(
        "minicpm5",
        'Ok.\n<function name="python"><param name="code"><![CDATA[a = "</param>"\n'
        "if a < b[b[0]]>c: pass]]></param></function>",
        (("python", {"code": 'a = "</param>"\nif a < b[b[0]]>c: pass'}),),
        content="Ok.",
    ),
    Transcript(
        "minicpm5",
        '<function name="get_weather"><param name="city">Rome</param>'
        '<param name="hourly">True</param></function>',
        (("get_weather", {"city": "Rome", "hourly": True}),),
    ),
]

SOLAR_OPEN = [
    Transcript(
        "solar_open",
        "<|think|>Hm.<|end|><|begin|>assistant<|tool_calls|>"
        "<|tool_call:begin|>a1b2c3d4e5<|tool_call:name|>get_weather<|tool_call:args|>"
        '{"city": "Paris"}<|tool_call:end|><|tool_call:begin|>f6g7h8i9j0'
        f"<|tool_call:name|>save<|tool_call:args|>{TRICKY_JSON}<|tool_call:end|>"
        "<|calls|>",
        (PARIS, TRICKY),
        reasoning="Hm.",
    ),
    Transcript(
        "solar_open",
        "<|think|>Hm.<|end|><|begin|>assistant<|content|>It is warm.<|end|>",
        content="It is warm.",
        reasoning="Hm.",
    ),
]

KIMI_K3 = [
    Transcript(
        "kimi_k3",
        "I should call it<|close|>think<|sep|><|open|>response<|sep|>On it."
        "<|close|>response<|sep|><|open|>tools<|sep|>"
        '<|open|>call tool="get_weather" index="1"<|sep|>'
        '<|open|>argument key="city" type="string"<|sep|>Lyon<|close|>argument<|sep|>'
        '<|open|>argument key="days" type="number"<|sep|>3<|close|>argument<|sep|>'
        '<|close|>call<|sep|><|open|>call tool="now" index="2"<|sep|>'
        "<|close|>call<|sep|><|close|>tools<|sep|><|close|>message<|sep|>",
        (LYON, NOW),
        content="On it.",
        reasoning="I should call it",
        in_reasoning=True,
    ),
    Transcript(
        "kimi_k3",
        "<|open|>response<|sep|>Use the response tag, then message the handler."
        "<|close|>response<|sep|><|close|>message<|sep|><|end_of_msg|>",
        content="Use the response tag, then message the handler.",
    ),
    Transcript(
        "kimi_k3",
        "Hm.<|open|>response<|sep|>Hi.",
        content="Hi.",
        reasoning="Hm.",
        in_reasoning=True,
    ),
    Transcript(
        "kimi_k3",
        '<|open|>tools<|sep|><|open|>call tool="save"<|sep|><|open|>json type="object"'
        f"<|sep|>{TRICKY_JSON}<|close|>json<|sep|><|close|>call<|sep|>"
        '<|open|>call tool="now"<|sep|><|open|>argument key="a &amp; &quot;b&quot;" '
        'type="string"<|sep|>5<|close|>argument<|sep|><|close|>call<|sep|>',
        (TRICKY, ("now", {'a & "b"': "5"})),
    ),
]

_ATEM = (
    '<atem:function_calls>\n<atem:invoke name="get_weather">\n'
    '<atem:parameter name="city">Lyon</atem:parameter>\n'
    '<atem:parameter name="days">3</atem:parameter>\n'
    "</atem:invoke>\n</atem:function_calls>"
)
MUSE_GLIMMER = [
    Transcript(
        "muse_glimmer",
        f" to=self<|message|>I could use {_ATEM} here<|eom|><|start|>assistant to=user"
        "<|message|>Hello!<|eot|>",
        content="Hello!",
        reasoning=f"I could use {_ATEM} here",
    ),
    Transcript(
        "muse_glimmer",
        f" to=user<|message|>Let me see.<|eom|><|start|>assistant to=get_weather"
        f"<|message|>{_ATEM}<|eom|><|start|>assistant to=now<|message|>"
        '<atem:function_calls>\n<atem:invoke name="now">\n</atem:invoke>\n'
        "</atem:function_calls><|eot|>",
        (LYON, NOW),
        content="Let me see.",
    ),
    Transcript(
        "muse_glimmer",
        f" to=user<|message|>You invoke it like this:\n{_ATEM}<|eot|>",
        content=f"You invoke it like this:\n{_ATEM}",
    ),
]

PLAIN_JSON = [
    Transcript(
        "plain_json",
        '{"name": "get_weather", "arguments": {"city": "Paris"}}\n'
        '{"name": "now", "arguments": {}}\n',
        (PARIS, NOW),
    ),
    Transcript(
        "plain_json",
        "I'll save it:\n```json\n"
        f'{{"name": "save", "arguments": {TRICKY_ASCII}}}\n```\nSaved.',
        (TRICKY,),
        content="I'll save it:\nSaved.",
    ),
    Transcript(
        "plain_json",
        '```json\n{"name": "Bob"}\n```\n{"answer": [1, {"name": "now"}]}',
        content='```json\n{"name": "Bob"}\n```\n{"answer": [1, {"name": "now"}]}',
    ),
]

TRANSCRIPTS = [
    *HERMES,
    *QWEN3_CODER,
    *SEED_OSS,
    *LLAMA3,
    *LLAMA4,
    *MISTRAL,
    *MISTRAL_V11,
    *FUNCTIONARY,
    *COMMAND_R,
    *DEEPSEEK,
    *GLM45,
    *KIMI_K2,
    *HARMONY,
    *GRANITE,
    *GEMMA4,
    *LFM2,
    *NEMOTRON_V2,
    *APERTUS,
    *MINIMAX_M2,
    *MINIMAX_M3,
    *DEEPSEEK_V32,
    *APRIEL,
    *GIGACHAT,
    *HUNYUAN3,
    *MINICPM5,
    *SOLAR_OPEN,
    *KIMI_K3,
    *MUSE_GLIMMER,
    *PLAIN_JSON,
]

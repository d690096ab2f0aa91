"""Tools that Anthropic defines and the client runs, as functions with a schema.

Anthropic's models know them by their type alone. Other models see them described here.
Source: Anthropic's pages on the bash, text editor and memory tools.
"""

from __future__ import annotations

from typing import Any

_TEXT = {"type": "string"}
_LINES = {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}

_BASH: tuple[str, dict[str, Any]] = (
    "Runs a command in a bash session that lasts for the whole conversation.",
    {
        "type": "object",
        "properties": {
            "command": {**_TEXT, "description": "The command. Not with restart."},
            "restart": {
                "type": "boolean",
                "description": "Starts the session again instead of a command.",
            },
        },
    },
)


def _editor(*commands: str) -> tuple[str, dict[str, Any]]:
    return (
        "Views, creates and edits text files. view shows a file, or what a directory "
        "has; create writes a new file of file_text; str_replace replaces old_str, "
        "which must be there exactly once, by new_str; insert puts insert_text after "
        "the line insert_line, 0 for the beginning."
        + (" undo_edit takes back the last edit." if "undo_edit" in commands else ""),
        {
            "type": "object",
            "properties": {
                "command": {**_TEXT, "enum": list(commands)},
                "path": {**_TEXT, "description": "The file or directory."},
                "view_range": {
                    **_LINES,
                    "description": "For view: the first and the last line, from 1; "
                    "-1 is the end.",
                },
                "file_text": _TEXT,
                "old_str": _TEXT,
                "new_str": _TEXT,
                "insert_line": {"type": "integer"},
                "insert_text": _TEXT,
            },
            "required": ["command", "path"],
        },
    )


_EDITOR = _editor("view", "create", "str_replace", "insert")
_FORMER_EDITOR = _editor("view", "create", "str_replace", "insert", "undo_edit")
_MEMORY: tuple[str, dict[str, Any]] = (
    "Keeps notes for later conversations as files below /memories. view shows a file "
    "or a directory; create writes a file of file_text; str_replace replaces old_str, "
    "which must be there exactly once, by new_str; insert puts insert_text after the "
    "line insert_line; delete removes path; rename moves old_path to new_path.",
    {
        "type": "object",
        "properties": {
            "command": {
                **_TEXT,
                "enum": ["view", "create", "str_replace", "insert", "delete", "rename"],
            },
            "path": _TEXT,
            "view_range": _LINES,
            "file_text": _TEXT,
            "old_str": _TEXT,
            "new_str": _TEXT,
            "insert_line": {"type": "integer"},
            "insert_text": _TEXT,
            "old_path": _TEXT,
            "new_path": _TEXT,
        },
        "required": ["command"],
    },
)

#: The name, the description and the schema of each type.
CLIENT_TOOLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bash_20241022": ("bash", *_BASH),
    "bash_20250124": ("bash", *_BASH),
    "text_editor_20241022": ("str_replace_editor", *_FORMER_EDITOR),
    "text_editor_20250124": ("str_replace_editor", *_FORMER_EDITOR),
    "text_editor_20250429": ("str_replace_based_edit_tool", *_EDITOR),
    "text_editor_20250728": ("str_replace_based_edit_tool", *_EDITOR),
    "memory_20250818": ("memory", *_MEMORY),
}

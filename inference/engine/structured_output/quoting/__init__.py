"""Lark grammars of texts that stand in a JSON string.

JSON writes each character of a text by itself. So the grammar of what it writes is that
of the text, with each of its characters in JSON's spelling. A lexeme that ends before a
backslash could swallow it, so the lexemes are found again, as GBNF's are.
"""

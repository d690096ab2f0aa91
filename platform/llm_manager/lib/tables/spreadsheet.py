"""Cells of tables that people open with a spreadsheet."""


def as_text(cell: str) -> str:
    """Return a cell that a spreadsheet takes for text, never for a formula."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell

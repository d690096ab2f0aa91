"""Rows for spreadsheets and programs."""

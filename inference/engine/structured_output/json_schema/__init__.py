"""JSON schemas as llguidance takes them."""

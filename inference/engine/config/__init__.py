"""How one model is loaded: its settings, adapters, KV layout and threads."""

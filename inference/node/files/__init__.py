"""The model files of this node: what it has, and where."""

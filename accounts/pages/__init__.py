"""Users' own pages: their keys, for users with and without staff rights."""

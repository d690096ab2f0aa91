"""Two web processes and three engine nodes, on machines of their own if permitted."""

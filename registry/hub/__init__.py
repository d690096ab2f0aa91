"""Models from elsewhere: what a hub offers, and how files come here. No database."""

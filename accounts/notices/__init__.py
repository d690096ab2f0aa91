"""Tells administrators what they have to know: in the admin, and by a webhook."""

"""Chat templates, rendered in processes of their own that can be killed.

A template is a program of a stranger. The sandbox stops what it knows; what it does not
know, as a comparison of lists that share their items, costs a process of this pool, and
no web process. ``jinja2`` is imported nowhere else, and the processes import no Django,
no settings and no secrets.
"""

"""Traces for OpenTelemetry, on only if the usual ``OTEL_…`` variables say so.

Off, no module of OpenTelemetry is imported, and no other module of this folder but
``choice`` and ``current``.
"""

"""Traces: ``spans`` as the product sees them, ``choice`` of whether there are any, and ``otel``, which makes
them by OpenTelemetry's SDK."""

"""Traces: W3C Trace Context continued or begun, and spans of OpenTelemetry."""

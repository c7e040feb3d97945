"""Traces and logs for a collector by OpenTelemetry, where its standard variables name one; off by default."""

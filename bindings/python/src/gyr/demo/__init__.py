"""The MovieLens 100K demo: from raw events to a served bundle and a report."""

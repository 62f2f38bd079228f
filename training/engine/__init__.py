"""The training and sampling engine: a run directory in, a run directory out.

Knows neither Django nor Celery nor HTTP. Outside this package only
``training.engine.config`` (standard library alone) may be imported.
"""

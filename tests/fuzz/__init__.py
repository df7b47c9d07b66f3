"""Fuzz targets: one module each, with ``check``, which takes any bytes and fails if a law is broken, and ``seeds``.

``make fuzz`` runs them with atheris, guided by coverage; ``tests/test_fuzz.py`` runs them with the seeds and with
changed ones.
"""

from __future__ import annotations

"""Smoke tests: tasks of which the manifest says what must hold."""

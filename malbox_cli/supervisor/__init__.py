"""Starts plugins, watches them, gives them tasks and takes their results.

`events` and `actions` are everything that can happen and everything that can be asked for; `machine` decides between
them without touching anything; the edges do it, and `reactor` joins the two.
"""

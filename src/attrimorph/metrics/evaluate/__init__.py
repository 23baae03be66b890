"""Evaluate a model: groups of figures, each measured on one context."""

"""Kinds of models: what each family of methods can do with its networks."""

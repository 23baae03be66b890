"""Attribute classifier (judge) and identity encoder: who looks at pictures, and how they are trained."""

"""The code of an image, looked for by optimisation through the frozen generator."""

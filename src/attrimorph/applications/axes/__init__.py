"""Axes: directions in a trained generator's codes along which one attribute changes (TL-GAN; Guan 2018)."""

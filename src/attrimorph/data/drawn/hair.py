"""Hair, beard and hat of a drawn face."""

import torch
from torch import Tensor

from attrimorph.data.drawn.canvas import (
    Canvas,
    Factors,
    egg,
    facial_hair,
    hair_colour,
    hair_shade,
    hsv,
    mix,
    rgb,
    stroke,
)
from attrimorph.data.drawn.parts import head_distance, head_size


def waves(canvas: Canvas, face: Factors) -> Tensor:
    """Return -1..1, [N, h, w]: locks of hair; the phase belongs to the person."""
    phase = face["hair_part"] * 6.0
    return torch.sin(canvas.v * 21 + canvas.u.square() * 11 + phase)


def draw_back_hair(canvas: Canvas, face: Factors) -> None:
    """What hangs behind the head: long for women, little for men, none when bald."""
    width, _ = head_size(face)
    bald, wavy = face.amount("Bald"), face.amount("Wavy_Hair")
    long = (1 - face.amount("Male")) * (1 - bald)
    bottom = 0.1 + long * (0.5 + 0.45 * face["hair_length"])
    volume = (0.02 + 0.05 * face["hair_volume"] + 0.05 * wavy) * (1 - bald)
    half = width + 0.01 + volume + long * 0.07
    shape, _ = egg(canvas.u, canvas.v - 0.1, half, (0.9 + volume) * (1 - 0.65 * bald), bottom, 0.3 + 0.3 * long)
    shape = shape + waves(canvas, face) * (0.035 * wavy)
    canvas.cover(hair_shade(face, 0.74), canvas.coverage(shape))


def draw_front_hair(canvas: Canvas, face: Factors) -> None:
    """The cap of hair: everything within the outline of the hair that does not lie in the opening for the face."""
    colour = hair_colour(face)
    width, _ = head_size(face)
    bald, wavy, bangs = face.amount("Bald"), face.amount("Wavy_Hair"), face.amount("Bangs")
    receding, long = face.amount("Receding_Hairline"), 1 - face.amount("Male")
    volume = 0.03 + 0.05 * face["hair_volume"] + 0.05 * wavy
    locks = waves(canvas, face)
    u, v = canvas.u, canvas.v
    outer, _ = egg(u, v + 0.08, width + 0.03 + volume, 0.68 + volume, 0.42 + 0.6 * long * (1 - bald), 0.2)
    outer = outer + locks * (0.035 * wavy)
    part = face.between("hair_part", -0.1, 0.1) * (1 - 0.4 * long) * (1 - bald) * (1 - bangs)
    top = 0.92 + 0.14 * receding + 0.8 * bald
    inner, _ = egg(u - part, v - 0.42, width - 0.035 - 0.03 * bald, top, 1.2, 0.35 - 0.3 * bald)
    temple, _ = egg(u.abs() - 0.2, v + 0.4, 0.16 * receding + 1e-3, 0.23 * receding + 1e-3, 0.3 * receding + 1e-3)
    inner = torch.minimum(inner, temple + (1 - receding))
    low = v - (-0.0 + 0.07 * bald + long * (1 - bald) * (0.35 + 0.5 * face["hair_length"]))
    cap = torch.maximum(torch.maximum(outer, -inner), low)
    patch, _ = egg(u.abs() - width + 0.02 - 0.08 * (v + 0.05).clamp(max=0), v + 0.02, 0.085, 0.32, 0.14, 0.1)
    cap = torch.maximum(cap, patch - 3 * (1 - bald))
    fringe = (u * 9 + part * 20).sub_((u * 9 + part * 20).round()).abs_()
    # Bangs grow from the top of the hair down; without any they lie far above it.
    rise = 0.6 * (1 - bangs) + 3 * (1 - 20 * bangs).clamp(min=0)
    edge = v + 0.3 - 0.12 * u.square() + fringe * 0.09 - 0.09 + rise
    cap = torch.minimum(cap, torch.maximum(outer, edge))
    alpha = canvas.coverage(cap)
    canvas.cover(colour, alpha)
    shine = ((v + 0.52 + u.square() * 0.9) * 9).square_().neg_().add_(1).clamp_(0, 1)
    streak = (locks * wavy + torch.cos(u * 31 + part * 30) * (0.55 * (1 - wavy))).mul_(0.5)
    canvas.paint(mix(colour, rgb(255, 255, 255), 0.3), shine.mul_(0.55).mul_(alpha))
    canvas.paint(hair_shade(face, 0.62), streak.clamp(min=0).mul_(alpha))


def draw_beard(canvas: Canvas, face: Factors) -> None:
    """A short full beard without No_Beard; moustache, goatee and sideburns on top of it."""
    colour = facial_hair(face)
    window = canvas.window(-0.75, 0.75, -0.35, 1)
    head, _ = head_distance(window, face)
    width, chin = head_size(face)
    u, v, m = window.f, window.v, window.f.abs()
    cheek, _ = egg(u, v - 0.1, width * 0.82, 0.6, 0.45, 0.1)
    beard = torch.maximum(torch.maximum(head + 0.004, -cheek), 0.12 - v)
    window.paint(colour, window.coverage(beard, 0.03).mul_((1 - face.amount("No_Beard")) * 0.72))
    burns, _ = egg(m - width + 0.07, v - 0.16, 0.1, 0.34, 0.26, 0.3)
    burns = torch.maximum(burns, head)
    window.paint(colour * 0.85, window.coverage(burns) * face.amount("Sideburns"))
    grow = face.amount("Goatee")
    below = (v - chin + 0.06).clamp(min=0)
    goatee, _ = egg(
        u * (1 + 2.2 * below), v - chin + 0.06, 0.17 * grow + 1e-3, 0.14 * grow + 1e-3, 0.24 * grow + 1e-3, 0.3
    )
    window.cover(colour * 0.85, window.coverage(goatee + (1 - grow) * 0.2))
    hairs = face.amount("Mustache")
    line = v - 0.36 - 1.6 * m * m
    mustache = torch.maximum(stroke(line, 0.046 - m * 0.1), m - 0.24)
    window.paint(colour * 0.85, window.coverage(mustache) * hairs)


def draw_hat(canvas: Canvas, face: Factors) -> None:
    """From a woollen cap to a hat with a wide brim; it sits high, so hair shows at the sides."""
    amount = face.amount("Wearing_Hat")
    window = canvas.window(-1, 1, -1, 0.1)
    width, _ = head_size(face)
    brim_size = (face["hat_style"] * 1.6 - 0.5).clamp(0, 1)
    colour = hsv(face["hat_hue"].flatten(), 0.55, 0.35 + 0.5 * ((face["hat_hue"] * 7) % 1))
    lift = (1 - amount) * 0.8
    u, v = window.u, window.v + lift
    crown, _ = egg(u, v + 0.4, width + 0.07, 0.5, 0.12, 0.35)
    crown = torch.maximum(crown, v + 0.36)
    window.cover(colour, window.coverage(crown) * amount)
    band = torch.maximum(crown, stroke(v + 0.45, 0.06 + 0.03 * (1 - brim_size)))
    window.paint(mix(colour * 0.55, rgb(250, 240, 225), (face["hat_hue"] * 13) % 1), window.coverage(band) * amount)
    brim, _ = egg(u, v + 0.37 - u.square() * 0.12, width + 0.1 + 0.25 * brim_size, 0.05, 0.05, 0.2)
    window.cover(colour * 0.82, window.coverage(brim) * amount * (brim_size * 4).clamp(max=1))

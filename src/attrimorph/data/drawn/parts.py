"""The parts of a drawn face: body, head, skin, nose, mouth, eyes, brows, glasses, hair, beard and hat."""

import torch
from torch import Tensor

from attrimorph.data.drawn import (
    Canvas,
    Factors,
    egg,
    facial_hair,
    hair_colour,
    hair_shade,
    hsv,
    mix,
    rgb,
    skin_colours,
    stroke,
)


def head_size(face: Factors) -> tuple[Tensor, Tensor]:
    """Return half the width of the head and the height of its chin below the eyes, [N, 1, 1] each."""
    male = face.degree("Male")
    width = face.between("face_width", 0.435, 0.49) + 0.03 * male
    chin = face.between("face_length", 0.65, 0.73) + 0.04 * male
    return width, chin


def head_distance(canvas: Canvas, face: Factors) -> tuple[Tensor, Tensor]:
    """Signed distance to the outline of the head, and its value (1 on the edge)."""
    width, chin = head_size(face)
    male, old = face.degree("Male"), 1 - face["Young"]
    taper = 0.34 - 0.3 * male - 0.08 * face["jaw"] - 0.1 * old
    low = (canvas.v * 1.4).clamp_(0, 1)
    x = canvas.u * (1 + low * low * taper)
    return egg(x, canvas.v, width, 0.72, chin, 0.12 + 0.5 * male * low)


def draw_body(canvas: Canvas, face: Factors) -> None:
    """Neck, shoulders and clothes; broad for men."""
    skin, shadow = skin_colours(face)
    male = face.degree("Male")
    window = canvas.window(-1, 1, 0.35, 1)
    x, y = window.x, window.y
    cloth = hsv(face["clothes_hue"].flatten(), 0.2 + 0.35 * face["clothes_style"], 0.35 + 0.5 * face["clothes_value"])
    neck = stroke(x, 0.16 + 0.15 * male) + (0.75 - y).clamp(min=0) * 0.15
    window.cover(shadow, window.coverage(neck))
    body, _ = egg(x, y - 1.25, 0.68 + 0.3 * male, 0.42 + 0.05 * male, 0.5, 0.35)
    opening, _ = egg(x, y - 0.86, 0.26 + 0.02 * male, 0.3, 0.2 - 0.1 * male)
    window.cover(mix(skin, shadow, 0.5), window.coverage(body))
    window.cover(cloth, window.coverage(torch.maximum(body, -opening)))
    rim = stroke(opening, 0.025)
    window.paint(cloth * 0.8, window.coverage(torch.maximum(body, rim)))


def draw_head(canvas: Canvas, face: Factors) -> None:
    """Ears and head with a soft shade at the edge."""
    skin, shadow = skin_colours(face)
    width, _ = head_size(face)
    ear, _ = egg(canvas.u.abs() - width - 0.01, canvas.v - 0.1, 0.075, 0.13, 0.12)
    canvas.cover(mix(skin, shadow, 0.45), canvas.coverage(ear))
    distance, value = head_distance(canvas, face)
    canvas.cover(skin, canvas.coverage(distance))
    side = face.between("light_direction", -1, 1)
    shade = (value - 0.55 - canvas.u * side).mul_(0.9).clamp_(0, 0.6)
    canvas.paint(shadow, shade * canvas.coverage(distance))


def draw_skin_details(canvas: Canvas, face: Factors) -> None:
    """Cheeks and make-up, and the marks of age."""
    skin, shadow = skin_colours(face)
    makeup, old = face.amount("Heavy_Makeup"), 1 - face.amount("Young")
    window = canvas.window(-0.7, 0.7, -0.3, 0.75)
    m = window.f.abs()
    _, cheek = egg(m - 0.29, window.v - 0.27 + 0.03 * face.degree("Smiling"), 0.17, 0.13, 0.13)
    rosy = mix(skin, rgb(225, 80, 90), 0.6)
    window.paint(rosy, (1 - cheek).clamp_(0, 1).mul_(0.2 + 0.15 * face["blush"] + 0.6 * makeup))
    crease = mix(skin, shadow * 0.62, 0.85)
    # from the nose down to the corners of the mouth
    down = window.v - 0.25
    fold = stroke(m - 0.12 - 0.8 * down + 1.3 * down.square(), 0.015)
    fold = torch.maximum(fold, (window.v - 0.36).abs() - 0.13)
    window.paint(crease, window.coverage(fold).mul_(old))
    bag = window.v - 0.17 + (m - 0.22).square() * 2.2
    bag = torch.maximum(stroke(bag, 0.014), (m - 0.22).abs() - 0.11)
    window.paint(crease, window.coverage(bag).mul_(old))
    brow = canvas.window(-0.5, 0.5, -0.65, -0.15)
    t = brow.f.square() * 0.3
    for height in (-0.31, -0.39):
        line = torch.maximum(stroke(brow.v - height - t, 0.013), brow.f.abs() - 0.2)
        brow.paint(crease, brow.coverage(line).mul_(old))


def draw_nose(canvas: Canvas, face: Factors) -> None:
    """A bulb with nostrils, a lit ridge and a shadow below."""
    skin, shadow = skin_colours(face)
    big = face.degree("Big_Nose")
    window = canvas.window(-0.4, 0.4, -0.2, 0.55)
    f = window.f - 0.04 * face.between("yaw", -1, 1)
    width = 0.05 + 0.085 * big + 0.02 * face["nose_width"]
    tip = face.between("nose_length", 0.22, 0.27) + 0.03 * big
    v = window.v - tip
    dark = mix(skin, shadow * 0.8, 0.8)
    bulb, _ = egg(f, v, width, 0.06 + 0.05 * big, 0.05 + 0.03 * big, 0.1)
    window.paint(dark, window.coverage(bulb - 0.012))
    inner, _ = egg(f, v + 0.025, width * 0.98, 0.08 + 0.05 * big, 0.045 + 0.03 * big, 0.1)
    window.paint(mix(skin, rgb(230, 110, 100), 0.14), window.coverage(inner))
    side = face.between("light_direction", -1, 1)
    ridge = torch.maximum(stroke(f + side * 0.045 - v * side * 0.03, 0.02), stroke(v + 0.16, 0.12))
    window.paint(shadow, window.coverage(ridge, 0.03) * 0.45)
    gloss, _ = egg(f - side * 0.02, v + 0.03, 0.025 + 0.015 * big, 0.03, 0.03)
    window.paint(mix(skin, rgb(255, 255, 255), 0.5), window.coverage(gloss, 0.02) * 0.8)
    nostril, _ = egg(f.abs() - width * 0.52, v - 0.028 - 0.02 * big, 0.018 + 0.016 * big, 0.014 + 0.008 * big, 0.012)
    window.paint(shadow * 0.45, window.coverage(nostril))


def mouth_line(canvas: Canvas, face: Factors) -> tuple[Tensor, Tensor, Tensor]:
    """Return the height below the line of the mouth, its arch (1 in the middle, 0 in the corners), and the middle v."""
    smile = face.degree("Smiling")
    width = face.between("mouth_width", 0.15, 0.18) + 0.07 * smile
    middle = face.between("mouth_height", 0.44, 0.48)
    arch = 1 - (canvas.f / width).square_()
    bend = -0.026 + 0.108 * smile
    return canvas.v - middle - bend * (arch.clamp(min=-0.3) - 0.5), arch, middle


def draw_mouth(canvas: Canvas, face: Factors) -> None:
    """Lips, the line between, and teeth when it is open."""
    skin, _ = skin_colours(face)
    male, big = face.degree("Male"), face.degree("Big_Lips")
    makeup = face.amount("Heavy_Makeup")
    window = canvas.window(-0.5, 0.5, 0.15, 0.85)
    below, arch, _ = mouth_line(window, face)
    gap = face.amount("Mouth_Slightly_Open") * (0.075 + 0.02 * face.degree("Smiling"))
    upper = 0.02 + 0.045 * big - 0.006 * male
    lower = 0.024 + 0.062 * big - 0.008 * male
    natural = mix(skin * rgb(225, 150, 150) * 1.02, rgb(215, 95, 105), 0.35 - 0.25 * male)
    stick = hsv((0.9 + 0.13 * face["makeup_hue"].flatten()) % 1, 0.85, 0.75)
    lips = mix(natural, stick, makeup * 0.95)
    bow = (arch * (0.55 + 0.9 * (window.f * 9).abs().clamp_(max=1))).mul_(0.75)  # Cupid's
    top = -below - (gap * 0.4) * arch - upper * bow
    bottom = below - (gap * 0.6 + lower) * arch
    shape = window.coverage(torch.maximum(top, bottom))
    window.paint(lips, shape)
    sheen, _ = egg(window.f, below - gap * 0.6 - lower * 0.5, 0.06, 0.012, 0.014)
    window.paint(mix(lips, rgb(255, 255, 255), 0.45), window.coverage(sheen, 0.015) * (0.35 + 0.45 * makeup))
    line = stroke(below, 0.011)
    inside = torch.maximum(-below - gap * 0.4 * arch, below - gap * 0.6 * arch)
    dark = lips * rgb(85, 50, 60)
    window.paint(dark, window.coverage(torch.maximum(torch.minimum(inside, line), arch * -0.1)))
    teeth = torch.maximum(torch.maximum(inside + 0.006, below - gap * 0.22), 0.02 - arch * 0.1)
    window.paint(rgb(250, 246, 238), window.coverage(teeth).mul_(face.amount("Mouth_Slightly_Open")))


def draw_eyes(canvas: Canvas, face: Factors) -> None:
    """Both eyes at once, in coordinates mirrored at the nose."""
    skin, shadow = skin_colours(face)
    male, narrow = face.degree("Male"), face.degree("Narrow_Eyes")
    makeup = face.amount("Heavy_Makeup")
    window = canvas.window(-0.62, 0.62, -0.35, 0.35)
    distance = face.between("eye_spacing", 0.205, 0.225)
    m = window.f.abs() - distance
    v = window.v - 0.01 - face.between("eye_height", -0.015, 0.015) + m * face.between("eye_tilt", -0.05, 0.2)
    half = face.between("eye_size", 0.11, 0.128)
    almond = 1 - (m / half).square_()
    open_up = 0.108 - 0.074 * narrow
    open_down = 0.064 - 0.04 * narrow - 0.008 * face.degree("Smiling")
    lid, low = -v - open_up * almond, v - open_down * almond
    # make-up and the fold of the lid
    shade = torch.maximum(-v - (open_up + 0.085) * (almond * 0.8 + 0.25), v - 0.02)
    colour = hsv((0.72 + 0.3 * face["makeup_hue"].flatten()) % 1, 0.6, 0.62)
    window.paint(mix(mix(skin, shadow, 0.6), colour, makeup), window.coverage(shade, 0.03).mul_(0.45 + 0.45 * makeup))
    eye = window.coverage(torch.maximum(lid, low))
    window.paint(rgb(252, 250, 248), eye)
    # sign of f puts the mirrored eye back, so that both look the same way
    gaze = face.between("gaze", -0.03, 0.03)
    x = m - window.f.sign() * gaze
    iris, _ = egg(x, v + 0.01, 0.072, 0.072, 0.072)
    hue = face["eye_hue"].flatten()
    brown = hsv(0.05 + 0.03 * hue, 0.65, 0.42 - 0.2 * hue)
    bright = hsv(0.28 + 0.35 * hue, 0.5, 0.6)
    tint = torch.where(hue[:, None] < 0.5, brown, bright)
    window.paint(tint, window.coverage(iris) * eye)
    window.paint(mix(tint, rgb(255, 255, 255), 0.3), window.coverage(iris + 0.02, 0.04) * (v * 12).clamp(0, 0.7) * eye)
    pupil, _ = egg(x, v + 0.01, 0.036, 0.036, 0.036)
    window.paint(rgb(18, 14, 18), window.coverage(pupil) * eye)
    glint, _ = egg(x + window.f.sign() * 0.024, v + 0.036, 0.02, 0.02, 0.02)
    window.paint(rgb(255, 255, 255), window.coverage(glint) * eye)
    # lashes
    lash = 0.011 + 0.009 * (1 - male) + 0.009 * makeup
    ends = m.abs() - half * 1.08
    upper = torch.maximum(stroke(-v - open_up * almond.clamp(min=0) - lash * 0.7, lash), ends)
    window.paint(mix(shadow * 0.35, rgb(16, 12, 16), 1 - male * 0.6), window.coverage(upper))
    under = torch.maximum(stroke(low, 0.008), m.abs() - half)
    window.paint(mix(shadow * 0.7, rgb(20, 15, 20), makeup), window.coverage(under) * (0.4 + 0.5 * makeup))
    wing = torch.maximum(stroke(v + (m - half) * 0.7, 0.018 - 0.006 * male), stroke(m - half - 0.02, 0.035))
    window.paint(rgb(16, 12, 16), window.coverage(wing) * ((1 - male) * 1.2).clamp(max=1))


def draw_brows(canvas: Canvas, face: Factors) -> None:
    """Two bows in the colour of the hair, darker."""
    window = canvas.window(-0.68, 0.68, -0.55, 0.1)
    male, arched, bushy = face.degree("Male"), face.degree("Arched_Eyebrows"), face.degree("Bushy_Eyebrows")
    m = window.f.abs() - 0.225
    t = m * (1 / 0.15)
    rise = 0.012 + 0.095 * arched
    bow = (1 - (t - 0.08).square()) * rise
    height = face.between("brow_height", -0.175, -0.195) + 0.03 * male - 0.01 * arched
    v = window.v - height + bow - rise * 0.5 - t * face.between("brow_slope", -0.004, 0.026)
    thick = (0.017 + 0.034 * bushy + 0.006 * male) * (1.15 - 0.35 * t.clamp(-1, 1.2))
    brow = torch.maximum(stroke(v, thick), stroke(m, 0.145 + 0.01 * bushy))
    window.paint(facial_hair(face) * 0.82, window.coverage(brow).mul_(0.97))


def draw_glasses(canvas: Canvas, face: Factors) -> None:
    """Two rims, a bridge and temples, with a glare that leaves the eyes visible."""
    amount = face.amount("Eyeglasses")
    window = canvas.window(-0.8, 0.8, -0.4, 0.45)
    m = window.f.abs()
    style = face["glasses_style"]
    lens, _ = egg(m - 0.225, window.v - 0.035, 0.172, 0.122, 0.145, style * 0.9)
    rim = stroke(lens, 0.018 + 0.008 * style)
    bridge = torch.maximum(stroke(window.v + 0.02 - window.f.square() * 2, 0.016), m - 0.07)
    temple = torch.maximum(stroke(window.v + 0.02, 0.018), stroke(m - 0.47, 0.075))
    glass = window.coverage(lens)
    window.paint(rgb(225, 240, 250), glass * (0.2 * amount))
    glare = stroke(m - 0.225 + window.v * 0.7 - 0.09, 0.03)
    window.paint(rgb(255, 255, 255), window.coverage(glare) * glass * (0.3 * amount))
    hue = face["glasses_hue"].flatten()
    frame = torch.where((hue < 0.5)[:, None], rgb(28, 26, 32), hsv(0.2 + 0.7 * hue, 0.65, 0.5))
    window.cover(frame, window.coverage(torch.minimum(torch.minimum(rim, bridge), temple)) * amount)


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

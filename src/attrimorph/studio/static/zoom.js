// A whole photograph closer: by the wheel, or by two fingers, to one pixel of it for one of the screen.

const RESTING = 150; // milliseconds after which what is seen is asked for

/** Zoom a picture's frame by a factor about a point of the window. */
function zoom(frame, factor, x, y) {
  const figure = frame.closest("figure");
  const most = Math.max(1, figure.dataset.width / (frame.clientWidth * devicePixelRatio));
  const before = Number(frame.dataset.zoom ?? 1);
  const now = Math.min(most, Math.max(1, before * factor));
  const place = frame.getBoundingClientRect();
  const [right, down] = [x - place.left, y - place.top];
  frame.dataset.zoom = now;
  frame.style.setProperty("--zoom", now);
  frame.scrollLeft = ((frame.scrollLeft + right) * now) / before - right;
  frame.scrollTop = ((frame.scrollTop + down) * now) / before - down;
}

/** Listen to wheel and fingers on whole photographs; `rested(model)` is called when a picture has been moved. */
export function listenToZoom(rested) {
  const home = document.getElementById("pictures");
  let resting = 0;
  const moved = () => {
    clearTimeout(resting);
    resting = setTimeout(() => home.querySelectorAll(".whole").forEach(({ dataset }) => rested(dataset.model)), RESTING);
  };
  home.addEventListener("scroll", moved, true);
  window.addEventListener("resize", moved);
  // A mouse has no finger to push with.
  home.addEventListener("pointermove", (event) => {
    const frame = event.buttons && event.pointerType === "mouse" && frameOf(event);
    if (frame) frame.scrollBy(-event.movementX, -event.movementY);
  });
  const frameOf = (event) => event.target.closest(".whole .frame");
  const active = { passive: false };
  home.addEventListener("wheel", (event) => {
    const frame = frameOf(event);
    if (!frame) return;
    event.preventDefault();
    zoom(frame, Math.exp(-event.deltaY / 400), event.clientX, event.clientY);
    moved();
  }, active);
  let apart = 0;
  const spread = ([one, other]) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
  home.addEventListener("touchstart", (event) => {
    if (event.touches.length === 2) apart = spread(event.touches);
  }, active);
  home.addEventListener("touchmove", (event) => {
    const frame = frameOf(event);
    if (!frame || event.touches.length !== 2) return;
    event.preventDefault();
    const [one, other] = event.touches;
    const now = spread(event.touches);
    zoom(frame, now / apart, (one.clientX + other.clientX) / 2, (one.clientY + other.clientY) / 2);
    apart = now;
    moved();
  }, active);
}

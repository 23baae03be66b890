// The camera: a photograph taken on the page.

import { t } from "./words.js";
import { say } from "./said.js";

const $ = (id) => document.getElementById(id);

/** Show what the camera sees; `take(blob)` is given the photograph. */
export async function shoot(take) {
  const booth = $("photo-booth");
  const lens = $("lens");
  try {
    lens.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" } });
  } catch {
    say(t("noCamera"), true);
    return;
  }
  await lens.play();
  booth.showModal();
  const stop = () => lens.srcObject?.getTracks().forEach((track) => track.stop());
  booth.onclose = stop;
  $("leave").onclick = () => booth.close();
  $("shoot").onclick = () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: lens.videoWidth, height: lens.videoHeight });
    canvas.getContext("2d").drawImage(lens, 0, 0);
    canvas.toBlob(take, "image/png");
    booth.close();
  };
}

"use strict";
/* Masks are painted on a canvas over the content. Each brush has a color, and each color becomes a
   file of the form: white inside, black outside. */

const COLORS = ["#ffffff", "#e8590c", "#1c7ed6", "#2f9e44", "#9c36b5", "#f2c200", "#0ca678"];
const MASK_SIDE = 1024;
let brush = 0;
let masks = null;

async function startMasks() {
  const editor = document.getElementById("mask-editor");
  const file = document.getElementById("content")?.files[0];
  const kept = document.querySelector("[type=hidden][name=content_kept]")?.value;
  masks = null;
  if (!editor || !(file || kept)) return;
  const image = new Image();
  image.src = file ? URL.createObjectURL(file) : "/image/" + encodeURI(kept);
  try {
    await image.decode();
  } catch {
    return;
  }
  const canvas = document.getElementById("canvas");
  const share = Math.min(1, MASK_SIDE / Math.max(image.naturalWidth, image.naturalHeight));
  canvas.width = Math.round(image.naturalWidth * share);
  canvas.height = Math.round(image.naturalHeight * share);
  const layer = new OffscreenCanvas(canvas.width, canvas.height);
  masks = { canvas, layer, image, used: new Set() };
  showTools(editor);
  drawMasks();
  editor.hidden = false;
}

/* Another number of styles needs other brushes; what is painted stays. */
function updateBrushes() {
  if (masks) showTools(document.getElementById("mask-editor"));
  else startMasks();
}

function showTools(editor) {
  const styles = Math.max(1, document.getElementById("style").files.length
    || document.querySelectorAll("[type=hidden][name=style_kept]").length);
  const names = [editor.dataset.keep];
  for (let each = 1; each <= styles; each++) names.push(`${editor.dataset.style} ${each}`);
  names.push(editor.dataset.erase);
  brush = 0;
  masks.styles = styles;
  editor.querySelector(".tools").replaceChildren(...names.map((name, index) => {
    const label = document.createElement("label");
    const input = document.createElement("input");
    const text = document.createElement("span");
    Object.assign(input, { type: "radio", name: "brush-kind", checked: index === 0 });
    input.dataset.unsent = "";
    input.addEventListener("change", () => { brush = index === names.length - 1 ? -1 : index; });
    if (index < names.length - 1) {
      const dot = document.createElement("i");
      dot.style.background = COLORS[index];
      text.append(dot);
    }
    text.append(name);
    label.append(input, text);
    return label;
  }));
}

function drawMasks() {
  const { canvas, layer, image } = masks;
  const pen = canvas.getContext("2d");
  pen.globalAlpha = 1;
  pen.drawImage(image, 0, 0, canvas.width, canvas.height);
  pen.globalAlpha = 0.6;
  pen.drawImage(layer, 0, 0);
}

function stroke(from, to) {
  const { canvas, layer } = masks;
  const pen = layer.getContext("2d", { willReadFrequently: true });
  const width = (document.getElementById("brush").value / 100) * Math.max(canvas.width, canvas.height);
  pen.globalCompositeOperation = brush < 0 ? "destination-out" : "source-over";
  pen.strokeStyle = brush < 0 ? "#000" : COLORS[brush];
  pen.lineWidth = width;
  pen.lineCap = pen.lineJoin = "round";
  pen.beginPath();
  pen.moveTo(...from);
  pen.lineTo(...to);
  pen.stroke();
  if (brush >= 0) masks.used.add(brush);
  drawMasks();
}

let last = null;
const place = (event) => {
  const box = masks.canvas.getBoundingClientRect();
  return [
    ((event.clientX - box.left) * masks.canvas.width) / box.width,
    ((event.clientY - box.top) * masks.canvas.height) / box.height,
  ];
};

document.addEventListener("pointerdown", (event) => {
  if (event.target.id !== "canvas" || !masks) return;
  event.target.setPointerCapture(event.pointerId);
  last = place(event);
  stroke(last, last);
});
document.addEventListener("pointermove", (event) => {
  if (!last || !masks) return;
  const next = place(event);
  stroke(last, next);
  last = next;
});
document.addEventListener("pointerup", () => { last = null; });
document.addEventListener("click", (event) => {
  if (event.target.id === "clear-masks") startMasks();
});

/* The strokes of one color as a mask: the nearest color decides, as edges are blended. */
async function maskOf(color) {
  const { width, height } = masks.layer;
  const pixels = masks.layer.getContext("2d").getImageData(0, 0, width, height);
  const values = COLORS.slice(0, masks.styles + 1)
    .map((each) => [1, 3, 5].map((at) => parseInt(each.slice(at, at + 2), 16)));
  for (let at = 0; at < pixels.data.length; at += 4) {
    const distances = values.map((one) =>
      one.reduce((sum, level, channel) => sum + (level - pixels.data[at + channel]) ** 2, 0));
    const inside = pixels.data[at + 3] > 127 && distances.indexOf(Math.min(...distances)) === color;
    pixels.data.fill(inside ? 255 : 0, at, at + 3);
    pixels.data[at + 3] = 255;
  }
  const drawn = new OffscreenCanvas(width, height);
  drawn.getContext("2d").putImageData(pixels, 0, 0);
  return drawn.convertToBlob({ type: "image/png" });
}

async function addMasks(body) {
  if (!masks?.used.size) return;
  if (masks.used.has(0)) body.set("keep_mask", await maskOf(0), "keep.png");
  if ([...masks.used].some((each) => each > 0)) {
    body.delete("content_mask");
    for (let each = 1; each <= masks.styles; each++) {
      body.append("content_mask", await maskOf(each), `style-${each}.png`);
    }
  }
}

"use strict";
/* The page works without this file; with it, it is live: forms are sent in place, running jobs and
   the plan refresh themselves, keys answer questions, masks are painted, the camera takes images.
   All words come from the server. */

document.documentElement.classList.add("js");

const main = () => document.getElementById("main");
const parse = (text) => new DOMParser().parseFromString(text, "text/html");

/* Forms and live regions */

function replaceById(fresh, id) {
  const old = document.getElementById(id);
  const found = fresh.getElementById(id);
  if (!old || !found || old.outerHTML === found.outerHTML) return;
  const open = new Set([...old.querySelectorAll("details[open][id]")].map((each) => each.id));
  const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
  const node = document.adoptNode(found);
  node.querySelectorAll("details[id]").forEach((each) => {
    if (open.has(each.id)) each.open = true;
  });
  old.replaceWith(node);
  if (focused) document.getElementById(focused)?.focus();
}

function refreshLive(fresh, kinds) {
  document.querySelectorAll("[data-live]").forEach((each) => {
    if (each.id && kinds.includes(each.dataset.live)) replaceById(fresh, each.id);
  });
  if (document.querySelector('[data-reload="yes"]')) replaceMain(fresh);
}

function replaceMain(fresh) {
  const focused = document.activeElement?.id;
  main().replaceWith(document.adoptNode(fresh.getElementById("main")));
  prepare();
  const target = focused && document.getElementById(focused);
  if (target && focused !== "main") target.focus();
  else main().focus({ preventScroll: true });
}

let sending = false;

async function send(form, submitter) {
  if (sending) return;
  sending = true;
  main().setAttribute("aria-busy", "true");
  try {
    const body = new FormData(form, submitter);
    if (form.id === "paint") await addMasks(body);
    const multipart = form.enctype === "multipart/form-data";
    const answer = await fetch(form.action, {
      method: "POST",
      body: multipart ? body : new URLSearchParams(body),
    });
    const fresh = parse(await answer.text());
    if (!fresh.getElementById("main")) throw new Error(fresh.body.textContent);
    replaceById(fresh, "errors");
    if (form.dataset.enhance === "main") replaceMain(fresh);
    else refreshLive(fresh, submitter?.id === "plan-button" ? ["form", ""] : [""]);
    const hash = new URL(answer.url).hash;
    if (hash && answer.ok) document.querySelector(hash)?.scrollIntoView({ block: "start" });
  } catch (error) {
    const place = document.getElementById("errors");
    const words = document.createElement("p");
    words.className = "alert";
    words.setAttribute("role", "alert");
    words.textContent = error.message;
    place.replaceChildren(words);
  } finally {
    sending = false;
    main().removeAttribute("aria-busy");
  }
}

document.addEventListener("submit", (event) => {
  if (!event.target.dataset.enhance) return;
  event.preventDefault();
  send(event.target, event.submitter);
});

let waiting = 0;

async function refresh() {
  waiting = 0;
  if (sending) return;
  const answer = await fetch(location.pathname);
  if (answer.ok) refreshLive(parse(await answer.text()), [""]);
}

const topics = document.body.dataset.topics.trim().split(/\s+/);
const events = new EventSource("/events");
events.onmessage = (event) => {
  if (topics.includes(JSON.parse(event.data)) && !waiting) waiting = setTimeout(refresh, 300);
};
events.onopen = () => {
  if (!waiting) waiting = setTimeout(refresh, 0); // what happened before, or while it was away
};

/* Sliders, chosen files, and the plan */

document.addEventListener("input", (event) => {
  if (event.target.type !== "range") return;
  const output = event.target.parentElement.querySelector("output");
  if (output) output.value = event.target.value + output.dataset.unit;
});

function showChosen(input) {
  const place = input.parentElement.querySelector(".drop-shown");
  if (!place) return;
  place.replaceChildren();
  for (const file of [...input.files].slice(0, 12)) {
    const image = document.createElement("img");
    image.src = URL.createObjectURL(file);
    image.alt = file.name;
    image.onerror = () => image.replaceWith(document.createTextNode(file.name));
    place.append(image);
  }
  input.parentElement.classList.toggle("chosen", input.files.length > 0);
}

let planning = 0;

document.addEventListener("change", (event) => {
  const input = event.target;
  if (input.type === "file") showChosen(input);
  if (input.id === "content" || input.id === "style") startMasks();
  const form = input.closest("form[data-plan]");
  if (!form || input.dataset.unsent !== undefined) return;
  clearTimeout(planning);
  planning = setTimeout(() => {
    const has = (id) =>
      document.getElementById(id)?.files.length || form.querySelector(`[type=hidden][name=${id}_kept]`);
    if (has("content") && has("style")) send(form, document.getElementById("plan-button"));
  }, 600);
});

/* Keys */

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const typing = event.target.matches("input:not([type=checkbox]), select, textarea");
  if (event.key === "Escape" && typing) event.target.blur();
  if (typing || (event.key === "Enter" && event.target.matches("button, a, summary"))) return;
  const target = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`)
    ?? document.querySelector(`[data-key="${CSS.escape(event.key.toLowerCase())}"]`);
  if (!target) return;
  event.preventDefault();
  if (target.matches("input:not([type=checkbox])")) target.focus();
  else target.click();
});

/* Masks: a canvas over the content; each brush has a color, and each color becomes a file */

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

/* The camera */

async function useCamera(button) {
  const view = document.getElementById("camera-view");
  const video = view.querySelector("video");
  if (!video.srcObject) {
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({
        video: { facingMode: "environment" },
      });
    } catch {
      button.textContent = button.dataset.refused;
      button.disabled = true;
      return;
    }
    await video.play();
    view.hidden = false;
    button.textContent = button.dataset.take;
    return;
  }
  const shot = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  shot.getContext("2d").drawImage(video, 0, 0);
  const files = new DataTransfer();
  files.items.add(new File([await shot.convertToBlob({ type: "image/jpeg" })], "camera.jpg"));
  video.srcObject.getTracks().forEach((track) => track.stop());
  const form = document.getElementById("ask");
  form.elements.images.files = files.files;
  send(form);
}

document.addEventListener("click", (event) => {
  if (event.target.id === "camera") useCamera(event.target);
});

function prepare() {
  const camera = document.getElementById("camera");
  if (camera && navigator.mediaDevices) camera.hidden = false;
  if (document.getElementById("mask-editor")) startMasks();
}
prepare();

"use strict";
/* The page works without this file; with it, it is live: forms are sent in place, running jobs and
   the plan refresh themselves, keys answer questions, the camera takes images. All words come from
   the server. */

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
  if (fresh.getElementById("main").dataset.view !== main().dataset.view) {
    replaceMain(fresh);
    return;
  }
  document.querySelectorAll("[data-live]").forEach((each) => {
    if (each.id && kinds.includes(each.dataset.live)) replaceById(fresh, each.id);
  });
}

function replaceMain(fresh) {
  const focused = document.activeElement?.id;
  main().replaceWith(document.adoptNode(fresh.getElementById("main")));
  prepare();
  const target = focused && document.getElementById(focused);
  if (target && !target.matches("main, #new_label")) target.focus(); // digits answer again
  else main().focus({ preventScroll: true });
}

let sending = null; // a prediction of time gives way to other forms, which do not

async function send(form, submitter) {
  const isPlan = submitter?.id === "plan-button";
  if (sending && !sending.isPlan) return;
  sending?.abort.abort();
  const own = { isPlan, abort: new AbortController() };
  sending = own;
  main().setAttribute("aria-busy", "true");
  try {
    const body = new FormData(form, submitter);
    if (form.id === "paint") await addMasks(body);
    const multipart = form.enctype === "multipart/form-data";
    const answer = await fetch(form.getAttribute("action"), {
      method: "POST",
      signal: own.abort.signal,
      body: multipart ? body : new URLSearchParams(body),
    });
    const fresh = parse(await answer.text());
    if (!fresh.getElementById("main")) throw new Error(fresh.body.textContent);
    if (form.dataset.enhance === "main") {
      replaceMain(fresh);
    } else {
      refreshLive(fresh, isPlan ? ["form", ""] : [""]);
      replaceById(fresh, "errors");
    }
    const hash = new URL(answer.url).hash;
    if (hash && answer.ok) document.querySelector(hash)?.scrollIntoView({ block: "start" });
  } catch (error) {
    if (error.name === "AbortError") return;
    const place = document.getElementById("errors");
    const words = document.createElement("p");
    words.className = "alert";
    words.setAttribute("role", "alert");
    words.textContent = error.message;
    place.replaceChildren(words);
  } finally {
    if (sending === own) {
      sending = null;
      main().removeAttribute("aria-busy");
    }
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
  if (input.id === "content") startMasks();
  if (input.id === "style") updateBrushes();
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

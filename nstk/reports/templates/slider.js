"use strict";
const sliders = [...document.querySelectorAll("input[type=range]")];
const parts = [...document.querySelectorAll("[data-at]")];
function show() {
  const at = sliders.map((slider) => slider.value);
  for (const part of parts) {
    const off = part.dataset.at.split(" ").some((place, k) => place !== "*" && place !== at[k]);
    part.classList.toggle("off", off);
  }
  for (const slider of sliders) {
    const label = slider.list.options[slider.value].label;
    slider.setAttribute("aria-valuetext", label);
    document.querySelector(`output[for="${slider.id}"]`).value = label;
  }
}
for (const slider of sliders) slider.addEventListener("input", show);
document.documentElement.classList.add("live");
show();

"use strict";
// Pictures with boxes and masks above them. Text reaches the page as text only: no markup is ever parsed here.
const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);
const readJson = (id) => { const node = byId(id); return node ? JSON.parse(node.textContent) : null; };

function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

function shape(name, attributes) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
}

// entry: {src, size: [w, h], boxes: [{xyxy, label, score, state, outline}], masks: [path], alt}
function picture(entry, { boxes = true, masks = false, labels = false } = {}) {
  const [width, height] = entry.size;
  const small = Math.max(width, height) <= 96;
  const image = element("img", { src: entry.src, alt: entry.alt, decoding: "async", width, height, class: small ? "pixels" : null });
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true", focusable: "false" });
  if (masks) for (const path of entry.masks || []) svg.append(shape("path", { d: path, class: "mask", "fill-rule": "evenodd" }));
  if (boxes) for (const box of entry.boxes || []) drawBox(svg, box, width, height);
  const tags = boxes && labels ? (entry.boxes || []).map((box) => label(box, width, height)) : [];
  const frame = element("span", { class: "picture" }, image, svg, ...tags);
  frame.style.setProperty("--aspect", `${width} / ${height}`);
  frame.style.setProperty("--ratio", String(width / height));
  return frame;
}

// Labels are text over the picture, in the page's own size whatever the picture's; only for whole pictures, not for cards.
function label(box, width, height) {
  const [x0, y0, x1] = box.xyxy;
  const score = box.score === null || box.score === undefined ? "" : ` ${box.score.toFixed(2)}`;
  const node = element("span", { class: `tag ${box.state || "truth"}` }, `${box.label}${score}`);
  const percent = (value, whole) => `${(100 * Math.min(1, Math.max(0, value / whole))).toFixed(2)}%`;
  if (x0 > width * 0.6) node.style.right = percent(width - x1, width);
  else node.style.left = percent(x0, width);
  if (y0 > height * 0.12) node.style.bottom = percent(height - y0, height);
  else node.style.top = percent(y0, height);
  return node;
}

function drawBox(svg, box, width, height) {
  const [x0, y0, x1, y1] = box.xyxy;
  const place = { x: x0, y: y0, width: Math.max(0, x1 - x0), height: Math.max(0, y1 - y0) };
  const state = box.state || "truth";
  for (const kind of ["halo", `box ${state}`]) {
    svg.append(box.outline ? shape("path", { d: box.outline, class: kind }) : shape("rect", { ...place, class: kind }));
  }
}

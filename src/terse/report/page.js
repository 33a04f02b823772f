"use strict";
// What joins the parts: the viewer, the pairs, the copy buttons, and the start.
class Viewer {
  constructor() {
    this.dialog = byId("viewer");
    byId("viewer-close").addEventListener("click", () => this.dialog.close());
    byId("viewer-previous").addEventListener("click", () => this.step(-1));
    byId("viewer-next").addEventListener("click", () => this.step(1));
    this.dialog.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (by && !event.target.closest("pre")) { event.preventDefault(); this.step(by); }
      if (event.key.toLowerCase() === "x" && this.source.tick && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); this.fill(this.source.tick()); }
    });
    this.dialog.addEventListener("click", (event) => { if (event.target === this.dialog) this.dialog.close(); });
    this.dialog.addEventListener("close", () => { byId("viewer-image").replaceChildren(); if (this.source) this.source.opener(); });
  }

  // source: {first: page, opener: () => void, step: (by) => page or null, tick: () => page}; page: {heading, image, facts, record}
  show(source) {
    this.source = source;
    for (const id of ["viewer-previous", "viewer-next"]) byId(id).hidden = !source.step;
    this.fill(source.first);
    this.dialog.showModal();
    byId("viewer-close").focus();
  }

  step(by) {
    const page = this.source.step && this.source.step(by);
    if (page) this.fill(page);
  }

  fill(page) {
    byId("viewer-heading").textContent = page.heading;
    byId("viewer-image").replaceChildren(page.image);
    const list = element("dl", {}, ...(page.facts || []).flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
    const side = byId("viewer-side");
    side.replaceChildren(list);
    if (page.record && Object.keys(page.record).length) {
      side.append(element("h3", {}, "Record"), element("pre", { tabindex: "0", "aria-label": "Record" }, JSON.stringify(page.record, null, 2)));
    }
    side.hidden = !side.textContent;
  }
}

function startPairs(viewer) {
  const pairs = readJson("before-after-data");
  const target = byId("pairs");
  if (!target) return;
  const detections = pairs.some((pair) => pair.answers.some((answer) => answer.boxes.length));
  byId("pairs-key").hidden = !detections;
  target.classList.toggle("answers", !detections);
  for (const pair of pairs) target.append(detections ? detectionPair(pair, viewer) : answerPair(pair));
}

const WHEN = ["Before", "After"];
const said = (answer, side) => element("span", { class: `said ${answer.tone}` }, element("strong", {}, WHEN[side]), ` ${answer.caption}`);

function detectionPair(pair, viewer) {
  const figures = pair.answers.map((answer, side) => {
    const alt = `${pair.name ? `${pair.name}, ` : ""}${WHEN[side].toLowerCase()}: ${answer.caption}`;
    const draw = (labels) => picture({ ...pair, boxes: answer.boxes, alt }, { labels });
    const button = element("button", { type: "button", "aria-label": `Enlarge: ${alt}` }, draw(false));
    button.addEventListener("click", () => viewer.show({ first: { heading: `${WHEN[side]}: ${answer.caption}`, image: draw(true) }, opener: () => button.focus() }));
    return element("figure", {}, button, element("figcaption", {}, said(answer, side)));
  });
  return element("div", { class: "pair" }, ...figures);
}

// A classifier's two answers stand below one picture.
function answerPair(pair) {
  const image = picture({ ...pair, alt: pair.name });
  return element("figure", { class: "pair" }, image, element("figcaption", {}, ...pair.answers.map(said)));
}

function startCopying() {
  const plain = readJson("plain-data");
  for (const button of document.querySelectorAll(".copy")) {
    button.addEventListener("click", async () => {
      const key = button.dataset.command, label = button.firstChild, before = label.textContent;
      try { await navigator.clipboard.writeText(key === "recipe" ? plain.recipe : plain.commands[Number(key)]); label.textContent = "Copied"; }
      catch { getSelection().selectAllChildren(button.previousElementSibling); label.textContent = "Selected"; }
      setTimeout(() => { label.textContent = before; }, 1600);
    });
  }
}

function startSheets(viewer) {
  for (const button of document.querySelectorAll(".enlarge")) {
    button.addEventListener("click", () => {
      const image = button.querySelector("img");
      const large = element("img", { src: image.src, alt: image.alt, class: "large" });
      viewer.show({ first: { heading: button.parentElement.querySelector("strong").textContent, image: large }, opener: () => button.focus() });
    });
  }
}

const viewer = new Viewer();
if (byId("charts")) startCharts();
startPairs(viewer);
startCopying();
startSheets(viewer);
if (byId("gallery-data")) window.gallery = new Gallery(readJson("gallery-data"), viewer);
document.documentElement.dataset.ready = "yes";

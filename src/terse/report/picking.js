"use strict";
// Ticking images off: X or the box on a card; the list of the ticked ones is saved as JSON that a command takes.
class Picking {
  constructor(gallery) {
    const { word, file, ticked, state } = gallery.data.picking;
    this.gallery = gallery;
    this.keys = gallery.data.key;
    this.word = word;
    this.file = file;
    this.store = `terse:${file}:${state}`; // of this page as it was written: one written again begins with the file's ticks
    const known = new Set(this.keys);
    this.ticked = new Set((this.remembered() || ticked).filter((key) => known.has(key)));
    byId("tick-shown").addEventListener("click", () => this.all(true));
    byId("untick-shown").addEventListener("click", () => this.all(false));
    byId("save-ticked").addEventListener("click", () => this.save());
    this.count();
  }

  // A page from disk may have no storage; what was ticked then lasts as long as the page.
  remembered() { try { return JSON.parse(localStorage.getItem(this.store)); } catch { return null; } }

  has(index) { return this.ticked.has(this.keys[index]); }

  toggle(index) { this.set(index, !this.has(index)); this.changed(); }

  set(index, on) { if (on) this.ticked.add(this.keys[index]); else this.ticked.delete(this.keys[index]); }

  all(on) { for (const index of this.gallery.shown) this.set(index, on); this.changed(); }

  changed() {
    try { localStorage.setItem(this.store, JSON.stringify([...this.ticked])); } catch { /* see above */ }
    for (const [position, item] of this.gallery.cards) this.mark(item, this.gallery.shown[position]);
    this.count();
  }

  mark(item, index) {
    const on = this.has(index);
    item.classList.toggle("ticked", on);
    item.querySelector(".tick").checked = on;
    item.querySelector(".card").setAttribute("aria-label", `${this.gallery.describe(index)}${on ? `, ${this.word.toLowerCase()}` : ""}`);
  }

  box(index, item) {
    const box = element("input", { type: "checkbox", class: "tick", tabindex: -1, "aria-label": `${this.word}: ${this.gallery.describe(index)}` });
    box.addEventListener("change", () => this.toggle(index));
    item.append(box);
    this.mark(item, index);
  }

  count() {
    byId("ticked").textContent = `${this.ticked.size.toLocaleString("en")} of ${this.keys.length.toLocaleString("en")} ticked`;
  }

  save() {
    const text = JSON.stringify({ drop: [...this.ticked].sort() }, null, 1);
    const link = element("a", { href: URL.createObjectURL(new Blob([text + "\n"], { type: "application/json" })), download: this.file });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }
}

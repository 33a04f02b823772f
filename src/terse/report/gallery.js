"use strict";
// The gallery: only the cards near the window exist, so that thousands of images scroll like a few.
const CAPTION_PX = 46, GAP_PX = 12, OVERSCAN_ROWS = 3;

class Gallery {
  constructor(data, viewer) {
    this.data = data;
    this.viewer = viewer;
    this.form = byId("filters");
    this.scroller = byId("scroller");
    this.space = byId("space");
    this.cards = new Map(); // position in `shown` -> element
    this.focus = 0;
    this.prepareFilters();
    this.form.addEventListener("input", () => this.filter());
    this.form.addEventListener("reset", () => setTimeout(() => this.filter()));
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.scroller.addEventListener("scroll", () => this.schedule(), { passive: true });
    this.space.addEventListener("keydown", (event) => this.key(event));
    this.space.addEventListener("click", (event) => { const card = event.target.closest(".card"); if (card) this.open(Number(card.dataset.position)); });
    this.picking = data.picking ? new Picking(this) : null;
    new ResizeObserver(() => this.schedule(true)).observe(this.scroller);
    this.filter();
  }

  name(number) { return number === null ? "" : this.data.names[number]; }

  entry(index) {
    const d = this.data;
    const boxes = d.boxes[index].map(([x0, y0, x1, y1, label]) => ({ xyxy: [x0, y0, x1, y1], label: this.name(label) }));
    return { src: `data:image/webp;base64,${d.src[index]}`, size: d.size[index], boxes, masks: d.masks[index], alt: this.describe(index) };
  }

  describe(index) {
    const d = this.data, parts = [this.name(d.class[index])];
    if (d.hardness[index] !== null) parts.push(`${d.words.hardness.toLowerCase()} ${d.hardness[index].toFixed(2)}`);
    if (d.cycle[index] !== null) parts.push(`cycle ${d.cycle[index]}`);
    if (d.arm[index] !== null) parts.push(this.name(d.arm[index]));
    return parts.join(", ");
  }

  classesOf(index) { return new Set([this.data.class[index], ...this.data.boxes[index].map((box) => box[4])]); }

  prepareFilters() {
    const d = this.data, indices = d.src.map((_, i) => i);
    const facet = (name) => this.form.querySelector(`[data-facet="${name}"]`);
    const fill = (name, values, text) => {
      facet(name).hidden = values.length < 2;
      this.form.elements[name].replaceChildren(element("option", { value: "" }, "All"), ...values.map((v) => element("option", { value: String(v) }, text(v))));
    };
    const classes = new Set(indices.flatMap((i) => [...this.classesOf(i)]));
    const collator = new Intl.Collator(undefined, { numeric: true });
    fill("class", [...classes].sort((a, b) => collator.compare(this.name(a), this.name(b))), (v) => this.name(v));
    fill("cycle", [...new Set(d.cycle.filter((c) => c !== null))].sort((a, b) => a - b), String);
    fill("arm", [...new Set(d.arm.filter((a) => a !== null))], (v) => this.name(v).replaceAll("_", " "));
    this.hasHardness = d.hardness.some((h) => h !== null);
    facet("hardness").hidden = !this.hasHardness;
    const word = d.words.hardness;
    const orders = [["stored", this.data.picking ? `${word}, low first` : "As made"], ...(this.hasHardness ? [["hard", `${word}, high first`], ...(this.data.picking ? [] : [["easy", `${word}, low first`]])] : [])];
    this.form.elements.order.replaceChildren(...orders.map(([value, text]) => element("option", { value }, text)));
    this.form.elements.order.closest("label").hidden = orders.length < 2;
    this.form.querySelector('[data-layer="boxes"]').hidden = !d.boxes.some((b) => b.length);
    this.form.querySelector('[data-layer="masks"]').hidden = !d.masks.some((m) => m.length);
  }

  filter() {
    const d = this.data, form = this.form.elements;
    let low = Number(form.low.value), high = Number(form.high.value);
    if (low > high) [low, high] = [high, low];
    byId("hardness-output").textContent = `${low.toFixed(2)} to ${high.toFixed(2)}`;
    const all = low === 0 && high === 1;
    const wanted = (field, i) => form[field].value === "" || String(d[field][i]) === form[field].value;
    this.shown = d.src.map((_, i) => i).filter((i) =>
      (form.class.value === "" || this.classesOf(i).has(Number(form.class.value))) && wanted("cycle", i) && wanted("arm", i) &&
      (all || !this.hasHardness || (d.hardness[i] !== null && d.hardness[i] >= low && d.hardness[i] <= high)));
    const order = { hard: (a, b) => (d.hardness[b] ?? -1) - (d.hardness[a] ?? -1), easy: (a, b) => (d.hardness[a] ?? 2) - (d.hardness[b] ?? 2) }[form.order.value];
    if (order) this.shown.sort(order);
    const total = d.src.length.toLocaleString("en"), now = this.shown.length.toLocaleString("en");
    byId("count").textContent = now === total ? `${total} image${d.src.length === 1 ? "" : "s"}` : `${now} of ${total} images`;
    this.focus = 0;
    this.scroller.scrollTop = 0;
    this.layers = { boxes: form.boxes.checked, masks: form.masks.checked };
    this.schedule(true);
  }

  schedule(afresh = false) {
    this.afresh = this.afresh || afresh;
    if (this.pending) return;
    this.pending = requestAnimationFrame(() => { this.pending = null; this.render(); });
  }

  measure() {
    const width = this.space.clientWidth;
    const columns = Math.max(2, Math.floor((width + GAP_PX) / (148 + GAP_PX)));
    const cell = Math.floor((width - GAP_PX * (columns - 1)) / columns);
    return { columns, cell, row: cell + CAPTION_PX + GAP_PX };
  }

  render() {
    if (this.afresh) { this.cards.forEach((card) => card.remove()); this.cards.clear(); this.afresh = false; }
    const size = this.grid = this.measure();
    const rows = Math.ceil(this.shown.length / size.columns);
    this.space.style.height = `${Math.max(0, rows * size.row - GAP_PX)}px`;
    const from = Math.max(0, Math.floor(this.scroller.scrollTop / size.row) - OVERSCAN_ROWS) * size.columns;
    const last = (Math.ceil((this.scroller.scrollTop + this.scroller.clientHeight) / size.row) + OVERSCAN_ROWS) * size.columns;
    const to = Math.min(this.shown.length, last);
    for (const [position, card] of this.cards) {
      if ((position < from || position >= to) && position !== this.focus) { card.remove(); this.cards.delete(position); }
    }
    for (let position = from; position < to; position++) if (!this.cards.has(position)) this.add(position);
    if (this.shown.length && !this.cards.has(this.focus)) this.add(this.focus);
  }

  add(position) {
    const index = this.shown[position], d = this.data, { columns, cell, row } = this.grid;
    const caption = element("span", { class: "caption" }, element("span", { class: "label" }, this.name(d.class[index])));
    if (d.hardness[index] !== null) {
      const meter = element("span", { class: "meter" }, element("span"));
      meter.firstChild.style.width = `${Math.round(100 * Math.min(1, Math.max(0, d.hardness[index])))}%`;
      caption.append(element("span", { class: "value" }, d.hardness[index].toFixed(2)), meter);
    }
    const button = element("button", { type: "button", class: "card", "data-position": position, tabindex: position === this.focus ? 0 : -1, "aria-label": this.describe(index) },
      picture({ ...this.entry(index), alt: "" }, this.layers), caption);
    const item = element("div", { class: "cell", role: "listitem", "aria-posinset": position + 1, "aria-setsize": this.shown.length }, button);
    item.style.width = `${cell}px`;
    item.style.transform = `translate(${(position % columns) * (cell + GAP_PX)}px, ${Math.floor(position / columns) * row}px)`;
    if (this.picking) this.picking.box(index, item);
    const next = [...this.space.children].find((other) => Number(other.firstChild.dataset.position) > position);
    this.space.insertBefore(item, next || null); // reading order is the order shown
    this.cards.set(position, item);
  }

  moveTo(position) {
    const before = this.cards.get(this.focus);
    if (before) before.firstChild.tabIndex = -1;
    this.focus = Math.min(this.shown.length - 1, Math.max(0, position));
    const top = Math.floor(this.focus / this.grid.columns) * this.grid.row, view = this.scroller;
    if (top < view.scrollTop) view.scrollTop = top;
    else if (top + this.grid.row > view.scrollTop + view.clientHeight) view.scrollTop = top + this.grid.row - view.clientHeight;
    this.render();
    const button = this.cards.get(this.focus).firstChild;
    button.tabIndex = 0;
    button.focus({ preventScroll: true });
  }

  key(event) {
    if (this.picking && event.key.toLowerCase() === "x" && !event.altKey && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      this.picking.toggle(this.shown[this.focus]);
      return;
    }
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / this.grid.row)) * this.grid.columns;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.grid.columns, ArrowDown: this.grid.columns, PageUp: -page, PageDown: page, Home: -Infinity, End: Infinity };
    if (!(event.key in steps) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.moveTo(this.focus + steps[event.key]);
  }

  open(position) {
    const before = this.cards.get(this.focus);
    if (before) before.firstChild.tabIndex = -1;
    this.focus = position;
    this.viewer.show({
      opener: () => this.moveTo(this.focus),
      step: (by) => { const next = this.focus + by; if (next >= 0 && next < this.shown.length) { this.focus = next; return this.page(); } return null; },
      first: this.page(),
      tick: this.picking ? () => { this.picking.toggle(this.shown[this.focus]); return this.page(); } : null,
    });
  }

  page() {
    const index = this.shown[this.focus], d = this.data, facts = [];
    facts.push(["Number", `${this.focus + 1} of ${this.shown.length}`]);
    if (this.picking) facts.push([this.picking.word, this.picking.has(index) ? "yes (X keeps it)" : "no (X ticks it)"]);
    if (d.cycle[index] !== null) facts.push(["Cycle", String(d.cycle[index])]);
    if (d.arm[index] !== null) facts.push([this.form.querySelector('[data-facet="arm"]').firstChild.textContent.trim(), this.name(d.arm[index]).replaceAll("_", " ")]);
    if (d.hardness[index] !== null) facts.push([d.words.hardness, d.hardness[index].toFixed(4)]);
    return { heading: this.name(d.class[index]), facts, record: d.record[index], image: picture(this.entry(index), { ...this.layers, labels: true }) };
  }
}

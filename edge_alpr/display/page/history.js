// Looking back: a list first; letters only while the car is parked, on keys large enough for a finger.
import { ask, clock, make } from "./parts.js";

const FILTERS = { all: "All", hits: "Hits", locked: "Kept" };
const KEYS = ["1234567890", "QWERTYUIOP", "ASDFGHJKL", "ZXCVBNM"];
const PARKED_MS = 300_000;

export class History {
  constructor(sheet, { marksOf, learn }) {
    Object.assign(this, { sheet, marksOf, learn });
    this.only = "all";
    this.text = "";
    this.found = [];
    this.next = null;
    this.said = "";
    this.typing = false;
    this.parkedUntil = 0;
  }

  open() {
    this.text = "";
    this.typing = false;
    this.load();
  }

  async load(more = false) {
    const query = new URLSearchParams({ only: this.only, plate: this.text });
    if (more) query.set("before", this.next);
    this.said = "";
    try {
      const answer = await ask(`/history?${query}`);
      this.learn(answer.marks);
      const known = new Set(more ? this.found.map((p) => p.uuid) : []);
      const fresh = answer.passages.map((p) => ({ ...p, hit: p.alert })).filter((p) => !known.has(p.uuid));
      this.found = more ? [...this.found, ...fresh] : fresh;
      this.next = answer.next;
    } catch (error) {
      this.found = []; this.next = null; this.said = error.message;
    }
    this.draw();
  }

  draw() {
    this.sheet.back = null;
    this.sheet.show("History", () => this.draw(), this.tools(), this.typing ? this.keys() : null, this.list());
  }

  tools() {
    return make("div.row.tools", {}, ...Object.entries(FILTERS).map(([name, words]) => make("button", {
      type: "button", "aria-pressed": String(this.only === name), onclick: () => { this.only = name; this.load(); },
    }, words)), this.text
      ? make("button", { type: "button", onclick: () => { this.text = ""; this.typing = false; this.load(); } }, `${this.text} ✕`)
      : make("button", { type: "button", "aria-expanded": String(this.typing), onclick: () => { this.typing = !this.typing; this.draw(); } }, "Search"));
  }

  // Nobody types while driving: the keys come after the word that the car is parked, and go after five minutes.
  keys() {
    if (performance.now() > this.parkedUntil) {
      return make("div.parked", {}, make("p", {}, "Search only while the car is parked."),
        make("button.primary", { type: "button", onclick: () => { this.parkedUntil = performance.now() + PARKED_MS; this.draw(); } }, "The car is parked"));
    }
    const typed = make("output.typed", {}, this.text || "any part of a plate");
    const press = (letter) => { this.text = (this.text + letter).slice(0, 12); typed.textContent = this.text; };
    return make("div.keys", {}, typed,
      ...KEYS.map((line) => make("div", {}, ...[...line].map((letter) => make("button", { type: "button", onclick: () => press(letter) }, letter)))),
      make("div", {},
        make("button", { type: "button", onclick: () => { this.text = this.text.slice(0, -1); typed.textContent = this.text || "any part of a plate"; } }, "⌫"),
        make("button.primary", { type: "button", onclick: () => { this.typing = false; this.load(); } }, "Find")));
  }

  list() {
    if (this.said) return make("p.quiet", {}, this.said);
    if (!this.found.length && this.next === null) return make("p.quiet", {}, this.text ? `No plate with ${this.text}.` : "Nothing here yet.");
    return make("ol.found", {}, ...this.found.map((passage) => this.row(passage)),
      this.next === null ? null : make("li", {}, make("button.more", { type: "button", onclick: () => this.load(true) }, "Earlier")));
  }

  row(passage) {
    const said = this.marksOf(passage.uuid);
    const words = [passage.hit?.list, said.includes("wrong") ? "wrong" : "", said.includes("locked") ? "kept" : ""].filter(Boolean).join(", ");
    return make(`li.${passage.state}${passage.hit ? ".hit" : ""}`, { "data-uuid": passage.uuid },
      make("button", { type: "button", onclick: () => this.sheet.passage(passage, () => this.draw()) },
        make("span.plate", {}, passage.plate), make("span", {}, words), make("span.when", {}, clock(passage.start_ms))));
  }
}

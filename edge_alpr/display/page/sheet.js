// What opens over the page: one passage in full, the state of the drive, the history.
import { $, STATES, clock, make, percent, picture } from "./parts.js";

export class Sheet {
  constructor({ marksOf, say }) {
    Object.assign(this, { marksOf, say });
    this.again = null;
    this.back = null;
    $("sheet").addEventListener("click", (event) => { if (event.target === $("sheet")) this.close(); });
    $("sheet").addEventListener("close", () => { this.again = null; this.back = null; });
  }

  show(title, again, ...children) {
    const back = this.back;
    $("sheet").replaceChildren(
      make("header", {},
        back ? make("button", { type: "button", onclick: () => { this.back = null; back(); } }, "‹ Back") : null,
        make("h2", { id: "sheet-title" }, title),
        make("button.close", { type: "button", "aria-label": "Close", onclick: () => this.close() }, "✕")),
      ...children.filter(Boolean));
    this.again = again;
    if (!$("sheet").open) $("sheet").showModal();
  }

  close() { $("sheet").close(); }

  refresh() { this.again?.(); }

  passage(passage, back = null) {
    this.back = back;
    const draw = () => { this.back = back; this.show(passage.plate, draw, make("div.passage", {}, this.seen(passage), this.told(passage))); };
    draw();
  }

  seen(passage) {
    const kinds = passage.pictures.length ? passage.pictures : [];
    return make("div.pictures", {}, ...kinds.map((kind) => make(`img.${kind}`, { src: picture(passage, kind), alt: kind === "plate" ? "The plate" : "The street" })),
      kinds.length ? null : make("p.quiet", {}, "No picture was kept."));
  }

  told(passage) {
    const said = this.marksOf(passage.uuid);
    const facts = [
      ["State", STATES[passage.state]],
      ["Seen", `${clock(passage.start_ms)}, ${passage.reads} reads, ${passage.camera}`],
      ["Sure", percent(passage.score)],
      passage.hit && ["List", `${passage.hit.list}: ${passage.hit.entry}`],
      passage.region && ["Region", passage.region],
      passage.candidates.length && ["Or", passage.candidates.join(", ")],
    ].filter(Boolean);
    const toggle = (name, words) => make("button", {
      type: "button", "aria-pressed": String(said.includes(name)), onclick: () => this.say(passage, name, !said.includes(name)),
    }, words);
    return make("div.told", {},
      make("dl", {}, ...facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)])),
      make("div.row", {}, passage.hit ? toggle("acknowledged", "Seen") : null, toggle("wrong", "Wrong"), toggle("locked", "Keep")));
  }

  status(now) {
    this.back = null;
    this.show(now.headline, null, now.advice ? make("p.advice", {}, now.advice) : null,
      make("ul.items", {}, ...now.items.map((item) => make(`li.${item.grade}`, {}, item.long))));
  }
}

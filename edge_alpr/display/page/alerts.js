// Hits as cards: one large, the most urgent one; the others as a row of tabs.
import { $, STATES, ago, color, make, percent, picture } from "./parts.js";

const GONE_MS = 20_000;  // how long a card that was withdrawn stays

export class Alerts {
  constructor({ marksOf, say, open }) {
    Object.assign(this, { marksOf, say, open });
    this.minutes = 15;
    this.chosen = null;
    this.arrived = new Map();
    this.dismissed = new Set();
    this.drawn = "";
    this.passages = [];
    this.known = new Set();
  }

  // Those that wait for an answer, the most urgent first, then the newest.
  waiting(passages) {
    const now = performance.now();
    const open = passages.filter((passage) => {
      if (!passage.hit || this.dismissed.has(passage.uuid)) return false;
      const place = `${passage.uuid} ${passage.seq}`;
      if (!this.arrived.has(place)) this.arrived.set(place, passage.fresh ? now : -Infinity);
      const said = this.marksOf(passage.uuid);
      if (said.includes("acknowledged") || said.includes("wrong")) return false;
      return now - this.arrived.get(place) < (isGone(passage) ? GONE_MS : this.minutes * 60_000);
    });
    return open.sort((a, b) => isGone(a) - isGone(b) || b.hit.priority - a.hit.priority || b.seq - a.seq);
  }

  draw(passages = this.passages) {
    this.passages = passages;
    const open = this.waiting(passages);
    if (open.some(({ uuid }) => !this.known.has(uuid))) this.chosen = null;  // a new one may be more urgent
    this.known = new Set(open.map(({ uuid }) => uuid));
    const first = open.find((passage) => passage.uuid === this.chosen) ?? open[0];
    const key = JSON.stringify(open.map((p) => [p.uuid, p.seq, p === first]).concat(first ? [this.marksOf(first.uuid)] : []));
    if (key === this.drawn) return;
    this.drawn = key;
    const others = open.filter((passage) => passage !== first);
    $("alerts").replaceChildren(...(first ? [this.card(first)] : []), ...(others.length ? [this.tabs(others)] : []));
    document.documentElement.toggleAttribute("data-alert", open.length > 0);
  }

  card(passage) {
    const { hit } = passage, gone = isGone(passage);
    const state = gone ? "withdrawn" : passage.state;
    const card = make(`article.card.${state}`, { "data-uuid": passage.uuid, "data-seq": passage.seq, "data-state": state },
      make("header", {},
        make("b.badge", {}, STATES[state]),
        make("span.list", {}, hit.list),
        make("span.when", { "data-when": passage.end_ms }, ago(passage.end_ms))),
      make("div.proof", {}, this.crop(passage), texts(passage)),
      make("p.how", {}, gone ? goneWords(passage) : `${upper(hit.how)} · ${percent(hit.score)} likely`,
        hit.stale ? make("b.stale", {}, " · the list is out of date") : null),
      hit.note || hit.also.length ? make("p.note", {}, [hit.note, hit.also.length ? `also on ${hit.also.join(", ")}` : ""].filter(Boolean).join(" · ")) : null,
      this.buttons(passage, gone));
    card.style.setProperty("--list", color(hit.color));
    return card;
  }

  crop(passage) {
    if (passage.pictures.includes("plate")) {
      return make("button.crop", { type: "button", "aria-label": "More of this passage", onclick: () => this.open(passage) },
        make("img", { src: picture(passage, "plate"), alt: `The plate, as the camera saw it` }));
    }
    return make("span.crop.none", {}, passage.state === "possible" ? "picture follows" : "no picture");
  }

  buttons(passage, gone) {
    if (gone) {
      return make("footer", {}, make("button.primary", { type: "button", onclick: () => { this.dismissed.add(passage.uuid); this.draw(); } }, "OK"));
    }
    const kept = this.marksOf(passage.uuid).includes("locked");
    return make("footer", {},
      make("button.primary", { type: "button", onclick: () => this.say(passage, "acknowledged") }, "Seen"),
      make("button.wrong", { type: "button", onclick: () => this.say(passage, "wrong") }, "Wrong"),
      make("button", { type: "button", "aria-pressed": String(kept), onclick: () => this.say(passage, "locked", !kept) }, kept ? "Kept" : "Keep"));
  }

  tabs(others) {
    return make("nav.tabs", { "aria-label": "More hits" }, ...others.map((passage) => {
      const tab = make(`button${isGone(passage) ? ".withdrawn" : ""}`, { type: "button", onclick: () => { this.chosen = passage.uuid; this.draw(); } }, passage.plate);
      tab.style.setProperty("--list", color(passage.hit.color));
      return tab;
    }));
  }
}

// A hit that is none any more: taken back, or read on as something that is on no list.
export function isGone(passage) { return passage.state === "withdrawn" || !passage.alert; }

function goneWords(passage) {
  return passage.state === "withdrawn" ? "Taken back: it was not read so again" : `Not on the list: it reads ${passage.plate}`;
}

const upper = (text) => text[0].toUpperCase() + text.slice(1);

// What was read above what the list says, place by place.
function texts(passage) {
  const { hit } = passage;
  if (!hit.cells.length) {
    return make("div.texts", {}, line("read", [...passage.plate].map((c) => [c, false])), make("p.pattern", {}, make("small", {}, "list"), hit.entry));
  }
  const read = hit.cells.map((cell) => [cell.read, cell.differs]), listed = hit.cells.map((cell) => [cell.listed, cell.differs]);
  return make("div.texts", {}, line("read", read), line("list", listed));
}

function line(name, cells) {
  const spoken = cells.map(([text]) => text || "missing").join(" ");
  return make(`div.cells.${name}`, { role: "img", "aria-label": `${name}: ${spoken}` }, make("small", {}, name),
    ...cells.map(([text, differs]) => make(`span${differs ? ".differs" : ""}`, {}, text || "–")));
}

// The live picture, and the texts over it. Picture and facts come in one answer, so they always fit each other.
import { $, ask, make } from "./parts.js";

const SVG = "http://www.w3.org/2000/svg";
const XLINK_FREE = "href";

export class Live {
  constructor() {
    this.busy = false;
    this.wanted = 0;
    this.image = null;
    this.cameras = "";
  }

  // One picture at a time: what comes meanwhile is the newest when its turn comes.
  news(facts) {
    if (!facts) { this.clear(); return; }
    this.wanted = facts.number;
    this.offer(facts);
    if (!this.busy) this.fetch();
  }

  async fetch() {
    this.busy = true;
    let shown = -1;
    while (shown !== this.wanted) {
      shown = this.wanted;
      const answer = await fetch("/live.jpg").catch(() => null);
      if (answer?.status !== 200) break;
      const told = answer.headers.get("x-live");
      await this.show(await answer.blob(), told ? JSON.parse(told) : null);
    }
    this.busy = false;
  }

  async show(blob, facts) {
    const address = URL.createObjectURL(blob), next = new Image();
    next.src = address;
    await next.decode().catch(() => null);
    const size = facts ? [facts.width, facts.height] : [next.naturalWidth, next.naturalHeight];
    if (!size[0]) return;
    const image = document.createElementNS(SVG, "image");
    image.setAttribute(XLINK_FREE, address);
    image.setAttribute("width", size[0]);
    image.setAttribute("height", size[1]);
    const view = $("labels");
    view.setAttribute("viewBox", `0 0 ${size[0]} ${size[1]}`);
    view.replaceChildren(image, ...(facts?.plates ?? []).flatMap((plate) => label(plate, size)));
    if (this.image) URL.revokeObjectURL(this.image);
    this.image = address;
    $("no-picture").hidden = true;
    if (facts) $("live").dataset.number = facts.number;
  }

  clear() {
    $("labels").replaceChildren();
    $("no-picture").hidden = false;
    delete $("live").dataset.number;
  }

  offer({ cameras, camera }) {
    const key = `${cameras} ${camera}`;
    if (key === this.cameras) return;
    this.cameras = key;
    $("cameras").hidden = cameras.length < 2;
    $("cameras").replaceChildren(...cameras.map((name) => make("button", {
      type: "button", "aria-pressed": String(name === camera), onclick: () => ask("/camera", { camera: name }).catch(() => null),
    }, name)));
  }
}

// A plate's outline and, above it, its text so far; paler while it is unsure.
function label(plate, [width, height]) {
  const outline = document.createElementNS(SVG, "polygon");
  outline.setAttribute("points", plate.quad.map((corner) => corner.join(",")).join(" "));
  if (!plate.plate) return [outline];
  const size = height / 16, xs = plate.quad.map(([x]) => x), top = Math.min(...plate.quad.map(([, y]) => y));
  const wide = plate.plate.length * size * 0.68 + size * 0.6;
  const left = Math.max(0, Math.min(width - wide, (Math.min(...xs) + Math.max(...xs) - wide) / 2));
  const above = top - size * 1.5 >= 0 ? top - size * 1.5 : Math.max(...plate.quad.map(([, y]) => y)) + size * 0.3;
  const ground = document.createElementNS(SVG, "rect"), text = document.createElementNS(SVG, "text");
  for (const [name, value] of Object.entries({ x: left, y: above, width: wide, height: size * 1.25, rx: size * 0.2 })) ground.setAttribute(name, value);
  for (const [name, value] of Object.entries({ x: left + wide / 2, y: above + size * 0.98, "font-size": size })) text.setAttribute(name, value);
  text.textContent = plate.plate;
  const sure = plate.score >= 0.85 ? "sure" : "unsure";
  for (const part of [outline, ground, text]) part.setAttribute("class", sure);
  return [outline, ground, text];
}

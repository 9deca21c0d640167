"use strict";

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const CORNERS = ["top left", "top right", "bottom right", "bottom left"];

// The server holds the truth; here is what is on the screen, and what was changed since it was loaded (`dirty`).
const state = { items: [], step: "boxes", index: 0, plate: 0, item: null, dirty: false, close: true, busy: false };

async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  };
  const response = await fetch(path, options).catch(() => {
    throw new Error("edge-alpr label no longer runs; start it again, nothing is lost");
  });
  if (response.ok) return response.json();
  const text = await response.text();
  let said = text;
  try { said = JSON.parse(text).error; } catch { /* plain text */ }
  throw new Error(said);
}

function tell(text, wrong = false) {
  $("message").textContent = text;
  $("message").classList.toggle("wrong", wrong);
}

// One thing at a time: a second click while the first is under way is dropped. True when it went well.
async function once(action) {
  if (state.busy) return false;
  state.busy = true;
  tell("");
  try { await action(); return true; } catch (error) { tell(error.message, true); return false; } finally { state.busy = false; }
}

function shuffle(list) { state.items = list.items; $("undo").disabled = !list.undo && !state.dirty; state.out = list.out; counts(); }

function counts() {
  const boxed = state.items.filter((item) => item.boxed).length;
  const done = state.items.filter((item) => item.done).length;
  $("count-boxes").textContent = `${boxed} of ${state.items.length}`;
  $("count-texts").textContent = `${done} of ${state.items.length}`;
  $("step-texts").disabled = !boxed;
}

async function refresh() { shuffle(await ask("/items")); }

async function open(index, plate = 0) {
  state.index = index;
  state.plate = plate;
  state.dirty = false;
  state.item = await ask(`/items/${index}`);
  await show();
}

const plates = () => state.item.said.plates;

async function show() {
  const boxes = state.step === "boxes";
  $("boxes").hidden = !boxes;
  $("view").hidden = false;
  $("view").style.display = boxes ? "" : "none";
  $("reading").hidden = boxes;
  $("texts").hidden = boxes;
  $("done").hidden = true;
  $("panel").hidden = false;
  $("step-boxes").toggleAttribute("aria-current", boxes);
  $("step-texts").toggleAttribute("aria-current", !boxes);
  $("position").textContent = `Picture ${state.index + 1} of ${state.items.length}`
    + (!boxes && plates().length > 1 ? `, plate ${state.plate + 1} of ${plates().length}` : "");
  $("why").textContent = state.item.why || state.item.name;
  $("next").disabled = !beside(1);
  $("previous").disabled = !beside(-1);
  if (boxes) draw(); else await ask_text();
}

function finish() {
  const done = state.items.filter((item) => item.done).length;
  for (const id of ["boxes", "texts", "reading", "panel"]) $(id).hidden = true;
  $("view").style.display = "none";
  $("done").hidden = false;
  $("done").textContent = `All done: ${done} of ${state.items.length} pictures are in\n${state.out}\nYou can close this page.`;
}

// Step 1: corners

function element(name, attributes, parent) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent.append(made);
  return made;
}

// What of the picture is seen: all of it, or the plate with twice its size around it.
function window_() {
  const { width, height } = state.item, plate = plates()[state.plate];
  if (!state.close || !plate) return [0, 0, width, height];
  const xs = plate.quad.map((c) => c[0]), ys = plate.quad.map((c) => c[1]);
  const wide = Math.max(...xs) - Math.min(...xs), high = Math.max(...ys) - Math.min(...ys);
  const pad = Math.max(wide * 0.5, high * 1.5, 12);
  return [Math.min(...xs) - pad, Math.min(...ys) - pad, wide + 2 * pad, high + 2 * pad];
}

function scale() { // picture pixels per screen pixel
  const box = $("view").viewBox.baseVal, size = $("view").getBoundingClientRect();
  return Math.max(box.width / Math.max(size.width, 1), box.height / Math.max(size.height, 1));
}

const outline = (quad) => quad.map((c) => c.join(",")).join(" ");

function draw(focus = -1) {
  const view = $("view"), item = state.item;
  view.setAttribute("viewBox", window_().join(" "));
  view.replaceChildren();
  element("image", { href: `/items/${state.index}/picture`, x: 0, y: 0, width: item.width, height: item.height }, view);
  plates().forEach((plate, number) => {
    const line = element("polygon", { class: "outline", points: outline(plate.quad) }, view);
    if (number === state.plate) return;
    line.classList.add("other");
    line.addEventListener("click", () => choose(number));
  });
  if (plates()[state.plate]) CORNERS.forEach((name, corner) => grip(view, name, corner));
  if (focus >= 0) view.querySelectorAll(".corner")[focus].focus();
  $("plates").replaceChildren(...(plates().length < 2 ? [] : plates().map((_, number) => chip(number))));
  $("complete").checked = item.said.complete;
  $("remove").disabled = !plates().length;
  $("zoom").disabled = !plates().length;
  $("accept").firstChild.textContent = plates().length ? "Corners are right " : "No plate here ";
  $("zoom").firstChild.textContent = state.close ? "Show the whole picture " : "Show the plate close up ";
}

function chip(number) {
  const button = document.createElement("button");
  button.textContent = `Plate ${number + 1}`;
  button.className = number === state.plate ? "chosen" : "";
  button.addEventListener("click", () => choose(number));
  return button;
}

function choose(number) { state.plate = number; draw(); }

function grip(view, name, corner) {
  const unit = scale(), [x, y] = plates()[state.plate].quad[corner];
  const group = element("g", { class: "corner", tabindex: 0, role: "button", "aria-label": `${name} corner` }, view);
  element("circle", { class: "grip", r: 26 * unit }, group);
  element("circle", { class: "ring", r: 11 * unit }, group);
  element("circle", { class: "ring", r: 11 * unit }, group);
  const out = corner === 0 || corner === 3 ? -1 : 1;
  const label = element("text", { x: out * 22 * unit, y: 6 * unit, "font-size": 18 * unit, "text-anchor": "middle" }, group);
  label.textContent = corner + 1;
  place(group, x, y);
  group.addEventListener("pointerdown", (down) => drag(down, group, corner));
  group.addEventListener("keydown", (key) => nudge(key, group, corner));
}

function place(group, x, y) { group.setAttribute("transform", `translate(${x} ${y})`); }

function move(group, corner, x, y) {
  const round = (value, most) => Math.round(Math.min(Math.max(value, -0.2 * most), 1.2 * most) * 100) / 100;
  const to = [round(x, state.item.width), round(y, state.item.height)];
  plates()[state.plate].quad[corner] = to;
  place(group, ...to);
  $("view").querySelector(".outline:not(.other)").setAttribute("points", outline(plates()[state.plate].quad));
  state.dirty = true;
  $("undo").disabled = false;
}

function drag(down, group, corner) {
  down.preventDefault();
  group.focus();
  group.setPointerCapture(down.pointerId);
  const unit = scale(), [x, y] = plates()[state.plate].quad[corner];
  const follow = (event) => move(group, corner, x + (event.clientX - down.clientX) * unit, y + (event.clientY - down.clientY) * unit);
  const drop = () => {
    group.removeEventListener("pointermove", follow);
    group.removeEventListener("pointerup", drop);
    group.removeEventListener("pointercancel", drop);
  };
  group.addEventListener("pointermove", follow);
  group.addEventListener("pointerup", drop);
  group.addEventListener("pointercancel", drop);
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function nudge(key, group, corner) {
  if (!ARROWS[key.key] || key.altKey || key.ctrlKey) return;
  key.preventDefault();
  const step = (key.shiftKey ? 12 : 2) * scale(), [x, y] = plates()[state.plate].quad[corner];
  move(group, corner, x + ARROWS[key.key][0] * step, y + ARROWS[key.key][1] * step);
}

function add() {
  const [left, top, wide, high] = state.close && plates().length ? [0, 0, state.item.width, state.item.height] : window_();
  const x = left + wide * 0.4, y = top + high * 0.45, w = wide * 0.2, h = Math.min(w / 4, high * 0.2);
  plates().push({ quad: [[x, y], [x + w, y], [x + w, y + h], [x, y + h]], text: "", verdict: "", lines: 1 });
  state.plate = plates().length - 1;
  state.close = false;
  state.dirty = true;
  draw(0);
}

function remove() {
  if (!plates().length) return;
  plates().splice(state.plate, 1);
  state.plate = Math.max(0, state.plate - 1);
  state.dirty = true;
  $("undo").disabled = false;
  draw();
}

const accept = () => once(async () => {
  await say({ ...state.item.said, boxed: true });
  const after = [...state.items.keys()].map((i) => (i + state.index + 1) % state.items.length);
  const open_ = after.find((index) => !state.items[index].boxed);
  if (open_ !== undefined) return open(open_);
  state.step = "texts";
  return next_text(0);
});

async function say(said) {
  shuffle(await ask(`/items/${state.index}`, said));
  state.item.said = said;
  state.dirty = false;
}

// Step 2: texts

async function ask_text() {
  const plate = plates()[state.plate];
  $("texts").hidden = !plate;
  $("upright").hidden = !plate;
  $("around").src = `/items/${state.index}/picture`;
  if (!plate) return;
  // the marks' corners in the address, so that a corrected plate is never shown from memory
  $("upright").src = `/items/${state.index}/plates/${state.plate}?${outline(plate.quad).replaceAll(" ", ";")}`;
  $("text").value = plate.text;
  $("hard").checked = plate.verdict === "hard";
  $("two-lines").checked = plate.lines === 2;
  for (const [id, verdict] of [["unreadable", "unreadable"], ["ignore", "ignore"]])
    $(id).classList.toggle("chosen", plate.verdict === verdict);
  candidates(state.item.guesses[state.plate] || []);
  $("text").focus();
  $("text").select();
  guess_more(plate);
}

// The reader looks at the corrected corners meanwhile; nobody waits for it.
async function guess_more(plate) {
  const index = state.index, number = state.plate;
  const more = await ask(`/items/${index}/plates/${number}/texts`).catch(() => ({ texts: [] }));
  if (plates()[state.plate] !== plate || state.step !== "texts") return;
  const guesses = [...new Set([...(state.item.guesses[number] || []), ...more.texts])].slice(0, 6);
  candidates(guesses);
  if (!$("text").value && !plate.verdict && guesses.length) { $("text").value = guesses[0]; $("text").select(); }
}

function candidates(texts) {
  $("candidates").replaceChildren(...texts.map((text, number) => {
    const button = document.createElement("button"), key = document.createElement("kbd");
    button.type = "button";
    button.append(`${text} `);
    if (number < 9) { key.textContent = `Alt ${number + 1}`; button.append(key); }
    button.addEventListener("click", () => { $("text").value = text; $("text").focus(); });
    return button;
  }));
}

const clean = (text) => text.toUpperCase().replace(/[\s\-.·]/g, "");

function judge(verdict) {
  return once(async () => {
    const text = clean($("text").value);
    const chosen = verdict === "ok" && $("hard").checked ? "hard" : verdict;
    if (chosen === "ok" || chosen === "hard") {
      if (!text) throw new Error("Type the text, or say Unreadable.");
      if (!/^[A-Z0-9]+$/.test(text)) throw new Error("Only A to Z and 0 to 9; leave out other signs.");
    }
    const list = plates().map((plate) => ({ ...plate })), readable = chosen === "ok" || chosen === "hard";
    if (verdict === "no-plate") list.splice(state.plate, 1);
    else list[state.plate] = { ...list[state.plate], text: readable ? text : "", verdict: chosen, lines: $("two-lines").checked ? 2 : 1 };
    await say({ ...state.item.said, plates: list });
    await next_text();
  });
}

async function next_text(first = state.index) {
  const order = [...state.items.keys()].map((i) => (i + first) % state.items.length);
  for (const index of order) {
    const [plate] = state.items[index].open;
    if (plate !== undefined) return open(index, plate);
  }
  const unboxed = state.items.findIndex((item) => !item.boxed);
  if (unboxed < 0) return finish();
  state.step = "boxes";
  return open(unboxed);
}

// Getting about

// The place before or after this one: pictures in step 1, plates of pictures that are boxed in step 2.
function beside(way) {
  if (state.step === "texts" && plates()[state.plate + way]) return [state.index, state.plate + way];
  for (let index = state.index + way; index >= 0 && index < state.items.length; index += way)
    if (state.step === "boxes" || state.items[index].boxed) return [index, 0];
  return null;
}

const go = (way) => once(async () => {
  const to = beside(way);
  if (state.dirty) await say(state.item.said);
  if (to) await open(...to);
});

const step = (name) => once(async () => {
  if (state.dirty) await say(state.item.said);
  state.step = name;
  if (name === "texts" && !state.items[state.index].boxed) return next_text(0);
  return open(state.index);
});

const undo = () => once(async () => {
  if (state.dirty) { await open(state.index); await refresh(); return; }
  const { index } = await ask("/undo", {});
  await refresh();
  const to = index === null ? state.index : index;
  if (!state.items[to].boxed) state.step = "boxes";
  await open(to, state.step === "texts" ? state.items[to].open[0] || 0 : 0);
  tell("Taken back.");
});

const zoom = () => { state.close = !state.close; draw(); };
const toggle = (id) => { $(id).checked = !$(id).checked; };

const ALT = {
  u: () => judge("unreadable"), n: () => judge("no-plate"), i: () => judge("ignore"),
  h: () => toggle("hard"), l: () => toggle("two-lines"),
};
const PLAIN = { a: add, Delete: remove, Backspace: remove, z: zoom, Enter: accept };

function pressed(event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const run = found(event, key);
  if (!run) return;
  event.preventDefault();
  run();
}

function found(event, key) {
  if (key === "PageDown") return () => go(1);
  if (key === "PageUp") return () => go(-1);
  if (event.altKey && key === "z") return undo;
  if (event.ctrlKey || event.metaKey) return key === "z" && state.step === "boxes" ? undo : null;
  if (state.step === "texts") {
    if (event.altKey && /^[1-9]$/.test(key)) return () => $("candidates").children[key - 1]?.click();
    if (event.altKey) return ALT[key];
    return key === "Enter" && event.target === $("text") ? () => judge("ok") : null;
  }
  if (event.altKey || (key === "Enter" && event.target.closest("button"))) return null;
  if (/^[1-4]$/.test(key)) return () => $("view").querySelectorAll(".corner")[key - 1]?.focus();
  return PLAIN[key];
}

const CLICKS = {
  accept, add, remove, zoom, undo, previous: () => go(-1), next: () => go(1),
  "step-boxes": () => step("boxes"), "step-texts": () => step("texts"),
  right: () => judge("ok"), unreadable: () => judge("unreadable"), "no-plate": () => judge("no-plate"), ignore: () => judge("ignore"),
};
for (const [id, run] of Object.entries(CLICKS)) $(id).addEventListener("click", run);
$("complete").addEventListener("change", () => { state.item.said.complete = $("complete").checked; state.dirty = true; });
document.addEventListener("keydown", pressed);
window.addEventListener("resize", () => { if (state.item && state.step === "boxes") draw(); });

once(async () => {
  await refresh();
  const unboxed = state.items.findIndex((item) => !item.boxed);
  if (unboxed >= 0) return open(unboxed);
  state.step = "texts";
  return next_text(0);
});

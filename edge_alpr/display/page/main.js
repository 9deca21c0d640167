// Holds what is known and hears the news. The server pushes; the page never asks "anything new?".
import { Alerts } from "./alerts.js";
import { History } from "./history.js";
import { Live } from "./live.js";
import { $, ago, ask, make, picture } from "./parts.js";
import { Sheet } from "./sheet.js";
import { StatusLine } from "./status.js";

const MOST_ROWS = 40;
const SILENCE_MS = 8000;  // the server says something each 3 s

// uuid -> the newest state of the passage; `hit` keeps what was hit by an earlier state.
const passages = new Map();
let marks = {};

const status = new StatusLine();
const live = new Live();
const sheet = new Sheet({ marksOf, say });
const alerts = new Alerts({ marksOf, say, open: (passage) => sheet.passage(passage) });
const history = new History(sheet, { marksOf, learn });

function marksOf(uuid) { return marks[uuid] ?? []; }
function learn(found) { marks = { ...marks, ...found }; }

function take(event) {
  const before = passages.get(event.uuid);
  if (before && before.seq >= event.seq) return;
  passages.delete(event.uuid);  // so that the newest comes last
  passages.set(event.uuid, { ...event, hit: event.alert ?? before?.hit ?? null });
  if (passages.size > 600) passages.delete(passages.keys().next().value);
}

function row(passage) {
  const said = marksOf(passage.uuid);
  const tag = said.includes("wrong") ? "wrong" : passage.hit ? "hit" : "";
  return make(`li.${passage.state}${tag ? `.${tag}` : ""}`, { "data-uuid": passage.uuid, "data-seq": passage.seq },
    make("button", { type: "button", onclick: () => sheet.passage(passages.get(passage.uuid) ?? passage) },
      make("span.plate", {}, passage.plate),
      make("span.about", {},
        make("span.when", { "data-when": passage.end_ms }, ago(passage.end_ms)),
        make("span.state", {}, rowWord(passage, said)))));
}

function rowWord(passage, said) {
  if (said.includes("wrong")) return "marked wrong";
  if (passage.state === "withdrawn") return "withdrawn";
  const kept = said.includes("locked") ? ", kept" : "";
  if (passage.hit) return passage.hit.list + kept;
  return (passage.state === "possible" ? "not sure yet" : passage.region) + kept;
}

// Passages in the order of their newest state; rows that stay the same are left alone.
function drawRows() {
  const shown = [...passages.values()].reverse().slice(0, MOST_ROWS);
  const list = $("plates"), old = new Map([...list.children].map((item) => [item.dataset.uuid, item]));
  const rows = shown.map((passage) => {
    const key = `${passage.seq} ${marksOf(passage.uuid)}`;
    const kept = old.get(passage.uuid);
    if (kept?.dataset.key === key) return kept;
    const fresh = row(passage);
    fresh.dataset.key = key;
    return fresh;
  });
  list.replaceChildren(...rows);
  $("no-plates").hidden = rows.length > 0;
}

// The newest plate that is sure: as the camera saw it, beside how it was read.
function drawNewest() {
  const newest = [...passages.values()].reverse().find((passage) => passage.state === "confirmed");
  const key = newest ? `${newest.uuid} ${newest.seq}` : "";
  if ($("newest").dataset.key === key) return;
  $("newest").dataset.key = key;
  $("newest").hidden = !newest;
  if (!newest) return;
  const crop = newest.pictures.includes("plate") ? make("img", { src: picture(newest, "plate"), alt: "" }) : "";
  $("newest").replaceChildren(crop, make("span.plate", {}, newest.plate));
  $("newest").onclick = () => sheet.passage(newest);
}

function draw() {
  drawRows();
  drawNewest();
  alerts.draw([...passages.values()]);
}

// A button's word. What is said can be taken back for some seconds.
async function say(passage, name, set = true) {
  try {
    const answer = await ask("/marks", { uuid: passage.uuid, name, set });
    marks = { ...marks, [passage.uuid]: answer.marks };
    const words = { acknowledged: "Seen", wrong: "Marked wrong", locked: "Kept" }[name];
    offerUndo(set ? `${words}: ${passage.plate}` : `Taken back: ${passage.plate}`, set && (() => say(passage, name, false)));
  } catch (error) {
    offerUndo(`Not done: ${error.message}`, null);
  }
  draw();
  sheet.refresh();
}

let undoTimer = 0;
function offerUndo(text, undo) {
  const [words, button] = $("undo").children;
  words.textContent = text;
  button.hidden = !undo;
  button.onclick = () => { $("undo").hidden = true; undo(); };
  $("undo").hidden = false;
  clearTimeout(undoTimer);
  undoTimer = setTimeout(() => { $("undo").hidden = true; }, 8000);
}

const NEWS = {
  all(known) {
    passages.clear();
    for (const event of known.events) take(event);
    marks = known.marks;
    theme.hours = known.settings.night;
    localStorage.setItem("night", theme.hours);
    theme.apply();
    alerts.minutes = known.settings.card_minutes;
    draw();
    if (known.status) status.show(known.status);
    live.news(known.live);
  },
  event(event) { take(event); draw(); },
  marks(changed) { marks = { ...marks, ...changed }; draw(); sheet.refresh(); },
  allmarks(all) { marks = all; draw(); sheet.refresh(); },
  status(now) { if (now) status.show(now); },
  live(facts) { live.news(facts); },
};

let heardAt = performance.now(), stream = null;

function connect() {
  stream?.close();
  stream = new EventSource("/stream");
  for (const [name, act] of Object.entries(NEWS)) {
    stream.addEventListener(name, (message) => {
      heardAt = performance.now();
      act(JSON.parse(message.data));
      document.documentElement.dataset.connected = "yes";
    });
  }
  // The browser tries again by itself, but for an answer that is no stream: a server that starts, or wants a password.
  stream.addEventListener("error", () => {
    if (stream.readyState === EventSource.CLOSED) setTimeout(connect, 1000);
    lost();
  });
}

async function lost() {
  delete document.documentElement.dataset.connected;
  status.disconnected();
  const answer = await fetch("/history?before=1").catch(() => null);
  if (answer?.status === 401) location.replace("/login");
}

setInterval(() => {
  for (const element of document.querySelectorAll("[data-when]")) element.textContent = ago(+element.dataset.when);
  alerts.draw([...passages.values()]);
  if (performance.now() - heardAt > SILENCE_MS) {
    status.disconnected();
    if (performance.now() - heardAt > 2 * SILENCE_MS) { heardAt = performance.now(); connect(); }
  }
}, 1000);

$("theme").addEventListener("click", () => theme.next());
$("open-history").addEventListener("click", () => history.open());
$("open-status").addEventListener("click", () => sheet.status(status.now));
theme.apply();
connect();

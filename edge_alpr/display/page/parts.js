// Small parts that all of the page is made of. Text is only ever set as text, so nothing read off a plate or a list is code.

export const $ = (id) => document.getElementById(id);

// make("button.primary", {type: "button"}, "text", child, …)
export function make(what, attributes = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag);
  element.classList.add(...classes);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") element.addEventListener("click", value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null && child !== ""));
  return element;
}

export async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
  };
  const response = await fetch(path, options).catch(() => { throw new Error("the screen's server does not answer"); });
  if (response.status === 401) location.replace("/login");
  if (response.ok) return response.json();
  throw new Error((await response.json().catch(() => ({}))).error ?? `the server says ${response.status}`);
}

export const picture = (passage, kind) => `/pictures/${encodeURIComponent(passage.uuid)}/${kind}?v=${passage.seq}`;

// Unwise to show a share as sure: 99.6 % is "99 %", not "100 %".
export const percent = (score) => `${Math.min(99, Math.floor(score * 100))} %`;

export function ago(epochMs, now = Date.now()) {
  const seconds = Math.round((now - epochMs) / 1000);
  if (seconds < 3 && seconds > -60) return "now";
  if (seconds >= 0 && seconds < 60) return `${seconds} s ago`;
  if (seconds >= 0 && seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  return clock(epochMs, now);
}

export function clock(epochMs, now = Date.now()) {
  const then = new Date(epochMs);
  const time = then.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  const sameDay = then.toDateString() === new Date(now).toDateString();
  return sameDay ? time : `${then.toLocaleDateString("en-GB", { day: "numeric", month: "short" })} ${time}`;
}

export const STATES = { possible: "Possible", confirmed: "Confirmed", withdrawn: "Withdrawn" };

const COLORS = { red: "#e5383b", orange: "#f77f00", amber: "#ffb000", yellow: "#ffd60a", green: "#2fb36d", blue: "#3a86ff", violet: "#9d4edd", white: "#ffffff" };
const HEX = /^#[0-9a-f]{6}$/i;

// A list's colour, as far as it is one.
export const color = (named) => COLORS[named] ?? (HEX.test(named) ? named : COLORS.red);

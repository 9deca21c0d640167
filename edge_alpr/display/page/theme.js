"use strict";
// Loaded before anything is drawn, so that no white page flashes at night.
// Three choices: auto (dark where the browser asks for it, else by the clock), day, night.
const theme = {
  choices: ["auto", "day", "night"],
  hours: "19:00-07:00",
  dark: matchMedia("(prefers-color-scheme: dark)"),
  get chosen() {
    const kept = localStorage.getItem("theme");
    return this.choices.includes(kept) ? kept : "auto";
  },
  isNight(now = new Date()) {
    const [from, to] = this.hours.split("-").map((time) => time.split(":").reduce((hour, minute) => hour * 60 + +minute, 0));
    const minute = now.getHours() * 60 + now.getMinutes();
    return from <= to ? minute >= from && minute < to : minute >= from || minute < to;
  },
  apply() {
    const auto = this.dark.matches || this.isNight() ? "night" : "day";
    document.documentElement.dataset.theme = this.chosen === "auto" ? auto : this.chosen;
    const button = document.getElementById("theme");
    if (button) button.textContent = { auto: "Auto ◐", day: "Day ☀", night: "Night ☾" }[this.chosen];
    if (button) button.ariaLabel = `Theme: ${this.chosen}`;
  },
  next() {
    const place = this.choices.indexOf(this.chosen) + 1;
    localStorage.setItem("theme", this.choices[place % this.choices.length]);
    this.apply();
  },
};
theme.hours = localStorage.getItem("night") ?? theme.hours;
theme.apply();
theme.dark.addEventListener("change", () => theme.apply());
setInterval(() => theme.apply(), 30_000);
window.theme = theme;

// The line at the top, and the red panel for what keeps plates from being read.
import { $, make } from "./parts.js";

const LOST = { grade: "fail", headline: "Not connected", advice: "What you see is old. The screen's server does not answer: edge-alpr display", items: [], blind: true };

export class StatusLine {
  constructor() {
    this.now = { grade: "warn", headline: "Connecting", advice: "", items: [] };
  }

  show(now) {
    this.now = now;
    $("bar").dataset.grade = now.grade;
    $("headline").textContent = now.headline;
    $("items").replaceChildren(...now.items.filter((item) => item.long !== now.headline).map((item) => make(`span.${item.grade}`, {}, item.short)));
    const failed = now.grade === "fail", [title, advice] = $("failure").children;
    $("failure").hidden = !failed;
    $("failure").classList.toggle("partial", !now.blind);
    title.textContent = failed ? now.headline : "";
    advice.textContent = failed ? now.advice : "";
  }

  disconnected() {
    if (this.now !== LOST) this.show(LOST);
  }
}

// Keys. None of them decides.
import { $, $$ } from "./page.js";

function move(step) {
  const rows = $$(".list tbody tr");
  if (!rows.length) return;
  const at = rows.findIndex((row) => row.classList.contains("here"));
  const next = rows[Math.min(rows.length - 1, Math.max(0, at < 0 ? 0 : at + step))];
  rows[at]?.classList.remove("here");
  next.classList.add("here");
  $("a", next).focus();
}
const KEYS = {
  j: () => move(1),
  k: () => move(-1),
  x: () => $(".list tr.here input")?.click(),
  n: () => $("a[rel=next]")?.click(),
  u: () => $("a[rel=up]")?.click(),
  d: () => {
    const decision = $("#decision");
    decision?.scrollIntoView();
    $("textarea, input:not([type=hidden]), button", decision ?? document.createElement("p"))?.focus();
  },
  "/": () => $("[type=search]")?.focus(),
  "?": () => $("#keys")?.showModal(),
};
document.addEventListener("keydown", (event) => {
  // Enter in a field would press the first button of its form, such as the one that approves.
  if (event.key === "Enter" && event.target.matches("[data-post]:not([data-sign-in], [data-steps]) :is(input, select)")) event.preventDefault();
  const typing = event.target.closest("input:not([type=checkbox], [type=radio]), textarea, select, dialog[open]");
  if (event.key === "Escape" && typing && !typing.matches("dialog")) typing.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});

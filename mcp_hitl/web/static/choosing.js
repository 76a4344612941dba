// Choosing several.
import { $, $$ } from "./page.js";

export function count() {
  const chosen = $$("#choose input:checked").length;
  const bar = $("#chosen");
  if (bar) {
    bar.hidden = chosen === 0;
    $("#chosen-count").textContent = chosen;
  }
  const items = $$(".batch header input:checked").length;
  for (const place of $$("[data-count]")) place.textContent = items;
  for (const button of $$(".batch .decide button")) button.disabled = items === 0;
}
document.addEventListener("change", (event) => event.target.matches("[type=checkbox]") && count());
addEventListener("pageshow", count);

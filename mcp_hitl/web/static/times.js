// Times stay true while a page is open.
import { $$ } from "./page.js";

const UNITS = [["day", 86400, 3600], ["hour", 3600, 60], ["minute", 60, 1]];
function inWords(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  for (const [unit, length, smaller] of UNITS) {
    if (seconds < length - smaller / 2) continue;
    const count = Math.round(seconds / length);
    return `${count} ${unit}${count > 1 ? "s" : ""}`;
  }
  return `${seconds} second${seconds === 1 ? "" : "s"}`;
}
export function tellTimes() {
  for (const time of $$("time")) {
    const left = Date.parse(time.dateTime) - Date.now();
    if (time.className === "since") time.textContent = inWords(-left);
    else time.textContent = left >= 0 ? `in ${inWords(left)}` : `${inWords(-left)} ago`;
  }
}
setInterval(tellTimes, 15000);

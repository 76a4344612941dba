// What a change does to a page that is open.
import { count } from "./choosing.js";
import { $, $$, fragment, markup, page, tell } from "./page.js";
import { tellTimes } from "./times.js";

function listChanged(list, changed, total) {
  const body = $("tbody", list);
  for (const one of changed) {
    const old = document.getElementById(one.id);
    if (one.status !== "pending") {
      if (old && !old.classList.contains("gone")) leave(old, one.status);
    } else if (old) {
      if (old.dataset.revision === String(one.revision) && $("input:checked", old)) continue;
      renew(old, fragment(one.row));
    } else if (one.id > list.dataset.behind && !list.dataset.more && fits(list, one)) {
      const row = fragment(one.row);
      row.classList.add("new");
      body.append(row);
    }
  }
  list.hidden = body.rows.length === 0;
  $("#empty").hidden = !list.hidden;
  if (!list.dataset.kind && !list.dataset.requester && !list.dataset.text) {
    $("#total").textContent = total.toLocaleString("en") + (total >= 1000 ? "+" : "");
  }
  tellTimes();
  count();
}

// Whoever goes through the list by keys stays where they are.
function renew(old, row) {
  const focused = old.contains(document.activeElement);
  row.classList.toggle("here", old.classList.contains("here"));
  old.replaceWith(row);
  if (focused) $("a", row).focus();
}

// What is decided keeps its place until the page is left, so that nothing moves under a pointer.
function leave(row, how) {
  row.classList.add("gone");
  $("input", row)?.remove();
  const tags = $(".tags", row);
  const status = document.createElement("span");
  status.className = `status ${how}`;
  status.textContent = how;
  tags.prepend(status);
}

function fits(list, one) {
  const { kind, requester, text } = list.dataset;
  if (text) {
    tell("There is something new. It may fit your search.", "Search again");
    return false;
  }
  return (!kind || kind === one.kind) && (!requester || requester === one.requester);
}

function approvalChanged(shown, changed) {
  const one = changed.find((each) => each.id === shown.dataset.id);
  if (!one || one.state === shown.dataset.state) return;
  // Where nothing is decided any more, nobody is typing, and there is nothing to press by mistake.
  if (shown.dataset.status !== "pending") return again(shown);
  const revised = String(one.revision) !== shown.dataset.revision;
  const ended = one.status !== "pending";
  if (revised || ended) shown.dataset.outdated = "";
  for (const button of $$("[data-post] button", shown)) button.disabled = revised || ended || button.disabled;
  const what = revised ? "This was edited, so it is not what you see here any more." : ended ? `This is ${one.status} now.` : "Somebody has decided on this; it waits for others too.";
  tell(what, "Show it as it is now");
}

// In place: a reload could overtake a link that was just pressed.
async function again(shown) {
  let text;
  try {
    const response = await fetch(location.href);
    if (!response.ok) return;
    text = await response.text();
  } catch {
    return; // nobody answers, or the person is on the way to another page
  }
  const whole = new DOMParser().parseFromString(markup(text), "text/html");
  shown.replaceWith(document.adoptNode($("#approval", whole)));
  tellTimes();
}

function batchChanged(changed) {
  for (const one of changed) {
    const item = $(`.item[data-id="${one.id}"]`);
    if (!item || (one.status === "pending" && String(one.revision) === item.dataset.revision)) continue;
    const box = $("header input", item);
    if (!box) continue;
    box.remove();
    $(".result", item).textContent = one.status === "pending" ? "Not part of this any more: it was edited." : `It is ${one.status} now.`;
    count();
  }
}

export function changed(message) {
  if (message.seq) document.body.dataset.seq = message.seq;
  if (message.stops) tell("Something was stopped or resumed.", "Show it as it is now");
  if (message.reload) return tell("Much has changed.", "Show it as it is now");
  const list = $("#list");
  const shown = $("#approval");
  if (list) listChanged(list, message.approvals, message.total);
  if (shown) approvalChanged(shown, message.approvals);
  if (page === "batch") batchChanged(message.approvals);
}

// What the pages do by themselves: send what a person does with the session's token, follow changes, and take keys.
// Without a library and without a build: the pages come from the server complete.
"use strict";

const $ = (selector, within = document) => within.querySelector(selector);
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
const TOKEN = "inbox-token";
const page = document.body.dataset.page;
// The one place where text becomes markup: what our own server made, with everything in it escaped.
const trusted = window.trustedTypes?.createPolicy("inbox", { createHTML: (text) => text });
const markup = (text) => (trusted ? trusted.createHTML(text) : text);
const fragment = (text) => {
  const holder = document.createElement("template");
  holder.innerHTML = markup(text);
  return holder.content.firstElementChild;
};

// Sending. The token lives with this address alone; a cookie would go to every port of the machine.
async function send(form, button) {
  const fields = new URLSearchParams(new FormData(form));
  if (button?.name) fields.set(button.name, button.value);
  const response = await fetch(form.getAttribute("action"), {
    method: "POST",
    body: fields,
    headers: { "X-Inbox-Token": localStorage.getItem(TOKEN) ?? "" },
  });
  const answer = await response.json().catch(() => null);
  if (answer === null) throw new Error(`The inbox could not do this (${response.status}). ${UNKNOWN}`);
  if (!response.ok) throw new Error(answer.message);
  return answer;
}
const UNKNOWN = "It is not known whether it was recorded: look at it as it is now before you do it again.";

function say(form, text, fine = false) {
  const said = $(".said", form);
  said.textContent = text;
  said.classList.toggle("fine", fine);
}

async function submit(form, button) {
  const buttons = $$("button", form).filter((one) => !one.disabled);
  const asked = typed(form);
  let then = null;
  say(form, "");
  for (const one of buttons) one.disabled = true;
  try {
    const answer = await send(form, button);
    if (answer.token) {
      localStorage.setItem(TOKEN, answer.token);
      location.replace(answer.go);
    } else if (answer.go) location.assign(answer.go);
    else if (answer.difference) then = typed(form) === asked ? review(form, answer) : null;
    else if (answer.results) return finish(form, answer.results);
    else say(form, answer.message, answer.intact);
    if (answer.go) return;
  } catch (problem) {
    say(form, problem instanceof TypeError ? `The inbox does not answer. ${UNKNOWN}` : problem.message);
  }
  const outdated = form.closest("[data-outdated]") !== null; // the news of it came while the answer was awaited
  for (const one of buttons) one.disabled = outdated;
  then?.focus();
}

const typed = (form) => new URLSearchParams(new FormData(form)).toString();

// What is saved is what was shown: its digest goes along.
function review(form, { difference, wanted }) {
  $(".difference", form).textContent = difference;
  form.elements.wanted.value = wanted;
  $(".preview", form).hidden = false;
  $("[value=review]", form).hidden = true;
  $("[value=save]", form).hidden = false;
  return $("[value=save]", form);
}

function finish(form, results) {
  for (const { id, done, message } of results) {
    const item = $(`[data-id="${id}"]`, form);
    const result = $(".result", item);
    result.textContent = message;
    result.classList.toggle("fine", done);
    $("input", item)?.remove();
  }
  const done = results.filter((one) => one.done).length;
  say(form, `${done} of ${results.length} recorded.`, done === results.length);
}

document.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-post]")) return;
  event.preventDefault();
  submit(event.target, event.submitter);
});
document.addEventListener("input", (event) => {
  const form = event.target.closest("[data-steps]");
  if (!form || event.target.name === "comment") return;
  $(".preview", form).hidden = true;
  $("[value=review]", form).hidden = false;
  $("[value=save]", form).hidden = true;
});

// Signing in: the code stands behind the #, and leaves the address before anything else happens.
if (page === "sign-in") {
  const form = $("[data-sign-in]");
  const code = location.hash.slice(1);
  history.replaceState(null, "", location.pathname + location.search);
  if (code) {
    form.elements.code.value = code;
    form.requestSubmit();
  }
  // Another page of this inbox has signed in: this one can go on.
  addEventListener("storage", (event) => {
    if (event.key === TOKEN && event.newValue) location.replace(form.elements.next.value);
  });
}

// Times stay true while a page is open.
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
function tellTimes() {
  for (const time of $$("time")) {
    const left = Date.parse(time.dateTime) - Date.now();
    if (time.className === "since") time.textContent = inWords(-left);
    else time.textContent = left >= 0 ? `in ${inWords(left)}` : `${inWords(-left)} ago`;
  }
}
setInterval(tellTimes, 15000);

// A button that decides takes no click in the moment in which it comes before somebody's pointer: the click may have
// been meant for what was there before.
function settle() {
  document.body.classList.add("settling");
  setTimeout(() => document.body.classList.remove("settling"), 500);
}
settle();
addEventListener("focus", settle);
document.addEventListener("visibilitychange", settle);

// Following changes.
function tell(text, action) {
  const news = $("#news");
  news.textContent = text;
  news.hidden = false;
  if (!action) return;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = action;
  button.addEventListener("click", () => location.reload());
  news.append(button);
}

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
  const response = await fetch(location.href);
  if (!response.ok) return;
  const whole = new DOMParser().parseFromString(markup(await response.text()), "text/html");
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

function changed(message) {
  if (message.seq) document.body.dataset.seq = message.seq;
  if (message.stops) tell("Something was stopped or resumed.", "Show it as it is now");
  if (message.reload) return tell("Much has changed.", "Show it as it is now");
  const list = $("#list");
  const shown = $("#approval");
  if (list) listChanged(list, message.approvals, message.total);
  if (shown) approvalChanged(shown, message.approvals);
  if (page === "batch") batchChanged(message.approvals);
}

// One connection for all pages of this browser, which allows only six to a server: whoever holds the lock has it and
// passes on what it hears. When that page is closed, the next one gets the lock.
function follow() {
  const others = new BroadcastChannel("inbox");
  const catchUp = async () => {
    let response;
    try {
      response = await fetch(`/changes?after=${document.body.dataset.seq}`);
    } catch {
      return; // nobody answers; it is tried again as soon as somebody does
    }
    if (response.status === 401) return location.reload();
    if (!response.ok) return;
    const message = await response.json();
    if (message.seq) document.body.dataset.seq = message.seq;
    changed(message);
  };
  const hear = (message) => {
    if (message.lost) tell("The connection is lost. What you see may be out of date; it is renewed as soon as possible.");
    else if (message.back) {
      $("#news").hidden = true;
      catchUp();
    } else changed(message);
  };
  const pass = (message) => {
    others.postMessage(message);
    hear(message);
  };
  others.addEventListener("message", (event) => hear(event.data));
  addEventListener("pageshow", (event) => event.persisted && catchUp());
  const listen = () =>
    new Promise(() => {
      let lost = false;
      const connect = () => {
        const stream = new EventSource("/live");
        stream.addEventListener("error", () => {
          if (!lost) pass({ lost: true });
          lost = true;
          if (stream.readyState !== EventSource.CLOSED) return; // it tries again by itself
          catchUp(); // not signed in any more, perhaps
          setTimeout(connect, 3000);
        });
        stream.addEventListener("open", () => {
          if (lost) pass({ back: true });
          else catchUp();
          lost = false;
        });
        stream.addEventListener("changed", (event) => pass(JSON.parse(event.data)));
      };
      connect();
    });
  catchUp();
  if (navigator.locks) navigator.locks.request("inbox-live", listen);
  else listen();
}
if (document.body.dataset.seq) follow();
if ($("main [data-post]") && page !== "sign-in" && !localStorage.getItem(TOKEN)) {
  tell("You are signed in, but not at this address: here you can look, and decide nothing. Sign in again to decide.");
}

// Choosing several.
function count() {
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

// Keys. None of them decides.
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
  const typing = event.target.closest("input:not([type=checkbox], [type=radio]), textarea, select, dialog");
  if (event.key === "Escape" && typing && !typing.matches("dialog")) typing.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});

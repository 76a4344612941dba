// Sending. The token lives with this address alone; a cookie would go to every port of the machine.
import { $, $$, fragment, page, tell } from "./page.js";
import { proven } from "./witness.js";

export const TOKEN = "inbox-token";
const UNKNOWN = "It is not known whether it was recorded: look at it as it is now before you do it again.";

async function send(form, button) {
  if (!(await proven())) throw new Error("The inbox that made this page does not answer, so nothing was sent. Try it again. If this stays so, run mcp-hitl inbox.");
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
  $(".difference", form).replaceChildren(fragment(difference));
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

if ($("main [data-post]") && page !== "sign-in" && !localStorage.getItem(TOKEN)) {
  tell("You are signed in, but not at this address: here you can look, and decide nothing. Sign in again to decide.");
}

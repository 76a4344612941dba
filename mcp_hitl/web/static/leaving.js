// Following a link, searching and loading again: each asks first who answers, as sending does.
import { tell } from "./page.js";
import { proven } from "./witness.js";

const NOBODY = "The inbox that made this page does not answer, so it was not left. Try it again. If this stays so, close it and run mcp-hitl inbox.";
let asked = null; // the link for which it has been asked, and which is followed now

// Holds an event back until the server has proved itself, and has it happen then.
async function ask(event, again) {
  if (event.defaultPrevented || (asked && asked.contains(event.target))) return;
  event.preventDefault();
  if (await proven()) again();
  else tell(NOBODY);
}

// By a click, since some lead to a file.
function follow(link) {
  asked = link;
  link.click();
  asked = null;
}

document.addEventListener("click", (event) => {
  if (event.target.matches("[data-reload]")) ask(event, () => location.reload());
});

for (const kind of ["click", "auxclick"]) {
  document.addEventListener(kind, (event) => {
    const link = event.target.closest("a[href]");
    if (!link || event.button > 1 || link.getAttribute("href").startsWith("#")) return;
    const beside = event.button === 1 || event.ctrlKey || event.metaKey || event.shiftKey;
    ask(event, () => (beside ? window.open(link.href, "_blank", "noopener") : follow(link)));
  });
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.matches("[data-post], [method=dialog]")) return;
  const fields = new URLSearchParams(new FormData(form, event.submitter));
  ask(event, () => location.assign(`${form.getAttribute("action")}?${fields}`));
});

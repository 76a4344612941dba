// Signing in: the code stands behind the #, and leaves the address before anything else happens.
import { $, page } from "./page.js";
import { TOKEN } from "./sending.js";

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

// Signing in: the code stands behind the #, and leaves the address before anything else happens.
import { $, page } from "./page.js";
import { TOKEN } from "./sending.js";
import { proven } from "./witness.js";

if (page === "sign-in") {
  const form = $("[data-sign-in]");
  const code = location.hash.slice(1);
  history.replaceState(null, "", location.pathname + location.search);
  if (code) {
    form.elements.code.value = code;
    form.requestSubmit();
  }
  // Another page of this inbox has signed in: this one can go on.
  addEventListener("storage", async (event) => {
    if (event.key === TOKEN && event.newValue && (await proven())) location.replace(form.elements.next.value);
  });
}

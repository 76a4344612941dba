// The page: its parts, new parts for it, and what it tells whoever looks at it.

export const $ = (selector, within = document) => within.querySelector(selector);
export const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
export const page = document.body.dataset.page;
// The one place where text becomes markup: what our own server made, with everything in it escaped.
const trusted = window.trustedTypes?.createPolicy("inbox", { createHTML: (text) => text });
export const markup = (text) => (trusted ? trusted.createHTML(text) : text);
export const fragment = (text) => {
  const holder = document.createElement("template");
  holder.innerHTML = markup(text);
  return holder.content.firstElementChild;
};

export function tell(text, action) {
  const news = $("#news");
  news.textContent = text;
  news.hidden = false;
  if (!action) return;
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = action;
  button.dataset.reload = "";
  news.append(button);
}

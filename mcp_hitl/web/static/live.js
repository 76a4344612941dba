// One connection for all pages of this browser, which allows only six to a server: whoever holds the lock has it and
// passes on what it hears. When that page is closed, the next one gets the lock.
import { changed } from "./changes.js";
import { $, tell } from "./page.js";

function follow() {
  const others = new BroadcastChannel("inbox");
  const catchUp = async () => {
    let news;
    try {
      const response = await fetch(`/changes?after=${document.body.dataset.seq}`);
      if (response.status === 401) return location.reload();
      if (!response.ok) return;
      news = await response.json();
    } catch {
      return; // nobody answers, or not to the end; it is tried again as soon as somebody does
    }
    changed(news);
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

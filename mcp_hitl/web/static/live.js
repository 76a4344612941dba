// One connection for all pages of a session, since a browser allows only six to a server: whoever holds the lock has it
// and passes on what it hears. When that page is closed, the next one gets the lock.
import { changed } from "./changes.js";
import { $, tell } from "./page.js";
import { channel, proven, session } from "./witness.js";

const LOST =
  "The connection is lost. What you see may be out of date; it is renewed as soon as possible. If that takes long, " +
  "close this page and run mcp-hitl inbox.";
const pause = () => new Promise((over) => setTimeout(over, 1000));

function follow() {
  const others = new BroadcastChannel(channel);
  const catchUp = async () => {
    let news;
    try {
      const response = await fetch(`/changes?after=${document.body.dataset.seq}`);
      if (response.status === 401) return (await proven()) && location.reload();
      if (!response.ok) return;
      news = await response.json();
    } catch {
      return; // nobody answers, or not to the end; it is tried again as soon as somebody does
    }
    changed(news);
  };
  const hear = (message) => {
    if (message.lost) tell(LOST);
    else if (message.back) {
      $("#news").hidden = true;
      catchUp();
    } else if (message.begun) catchUp();
    else changed(message);
  };
  const pass = (message) => {
    others.postMessage(message);
    hear(message);
  };
  others.addEventListener("message", (event) => hear(event.data));
  addEventListener("pageshow", async (event) => event.persisted && (await proven()) && catchUp());
  // It does not try again by itself: that would send the cookie to whoever has the port then.
  const stream = (opened) =>
    new Promise((ended) => {
      let was = false;
      const source = new EventSource("/live");
      source.addEventListener("open", () => {
        was = true;
        opened();
      });
      source.addEventListener("changed", (event) => pass(JSON.parse(event.data)));
      source.addEventListener("error", () => {
        source.close();
        ended(was);
      });
    });
  const listen = async () => {
    let lost = false;
    const lose = () => pass({ lost: (lost = true) });
    for (;;) {
      while (!(await proven())) {
        lose();
        await pause();
      }
      if (lost) await catchUp(); // not signed in any more, perhaps
      const was = await stream(() => pass(lost ? { back: true } : { begun: true })); // nobody heard what came before it
      lose();
      if (!was) await pause();
    }
  };
  catchUp();
  if (navigator.locks) navigator.locks.request(`inbox-live ${session}`, listen);
  else listen();
}
if (document.body.dataset.seq) follow();

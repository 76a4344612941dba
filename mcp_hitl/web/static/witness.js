// Who answers: the inbox that made this page, or somebody else who has its port now and is of the same origin to the
// browser. The secret stays in this module, where no other page can read it.
import { $ } from "./page.js";

const held = $("meta[name=witness]");
const [name, secret] = held.content.split(" ");
held.remove();
export const session = name;
export const channel = `inbox ${secret}`;

const SECONDS = 5;
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const bytes = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const encoded = (text) => new TextEncoder().encode(text);

// Asks without the cookie.
export async function proven() {
  const challenge = hex(crypto.getRandomValues(new Uint8Array(32)));
  try {
    const response = await fetch(`/inbox/identity?challenge=${challenge}&page=${name}`, {
      credentials: "omit",
      cache: "no-store",
      redirect: "error",
      signal: AbortSignal.timeout(SECONDS * 1000),
    });
    const proof = bytes(String((await response.json()).page));
    const key = await crypto.subtle.importKey("raw", encoded(secret), { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
    return await crypto.subtle.verify("HMAC", key, proof, encoded(`${challenge}\n${location.port}`));
  } catch {
    return false; // nobody answers, or nobody of ours
  }
}

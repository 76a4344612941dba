// What the pages do by themselves: send what a person does with the session's token, follow changes, and take keys.
// Without a library and without a build: the pages come from the server complete.
import "./signing_in.js"; // first: the code of a link leaves the address before anything else happens
import "./settling.js";
import "./live.js";
import "./keys.js";
import "./leaving.js";

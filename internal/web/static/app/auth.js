// The API key: asked for when the server wants one, kept for this tab only.
import { find } from "./dom.js";

const storageKey = "seri.api-key";

/** Sends "change" when the visitor has given a key. */
export const keys = new EventTarget();

/** The visitor closed the dialog without giving a key. */
export class KeyMissing extends Error {
  constructor() { super("The server wants an API key."); }
}

export function apiKey() {
  return sessionStorage.getItem(storageKey);
}

/** fetch with the API key, if there is one; asks for a key as long as the server refuses. Throws KeyMissing. */
export async function authorizedFetch(path, init = {}) {
  for (;;) {
    const key = apiKey();
    const headers = new Headers(init.headers);
    if (key) headers.set("Authorization", `Bearer ${key}`);
    const response = await fetch(path, { ...init, headers });
    if (response.status !== 401) return response;
    response.body?.cancel();
    if (apiKey() === key) await askForKey(key !== null); // else another request has asked meanwhile
  }
}

let asking; // one dialog for all requests that wait

function askForKey(refused) {
  asking ??= showDialog(refused).finally(() => { asking = undefined; });
  return asking;
}

function showDialog(refused) {
  const dialog = find("#key-dialog");
  const input = find("#key-input");
  find("#key-why").textContent = refused
    ? "The server did not accept that key."
    : "The server lets in only those who have a key.";
  input.value = "";
  return new Promise((resolve, reject) => {
    const events = new AbortController();
    const on = (target, type, listener) => target.addEventListener(type, listener, { signal: events.signal });
    on(find("form", dialog), "submit", (event) => {
      event.preventDefault();
      const key = input.value.trim();
      if (!key) return input.focus();
      sessionStorage.setItem(storageKey, key);
      dialog.close("given");
      keys.dispatchEvent(new Event("change"));
    });
    on(find("#key-cancel"), "click", () => dialog.close("cancelled"));
    on(dialog, "close", () => {
      events.abort();
      if (dialog.returnValue === "given") resolve();
      else reject(new KeyMissing());
    });
    dialog.returnValue = ""; // Escape closes without a value
    dialog.showModal();
  });
}

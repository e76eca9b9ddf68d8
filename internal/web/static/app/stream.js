// The live stream: one connection to /v1/events that is made again whenever it ends.
import { authorizedFetch, KeyMissing } from "./auth.js";
import { EventParser } from "./sse.js";

const firstWait = 500; // ms
const longestWait = 20_000; // ms
const stableAfter = 10_000; // ms: only a connection that held this long resets the back-off
const silence = 60_000; // ms: the server sends a comment every 15 to 25 s; without one the connection is dead

/** Follows the events of all tasks.
 *
 *  onEvent(event) gets every CloudEvent in order.
 *  onStatus(status) gets "connecting", "live", "reconnecting", "offline" or "locked" (no API key). */
export class LiveStream {
  #onEvent;
  #onStatus;
  #parser = new EventParser();
  #wake = () => {}; // ends the wait between two connections

  constructor({ onEvent, onStatus }) {
    this.#onEvent = onEvent;
    this.#onStatus = onStatus;
    addEventListener("online", () => this.retryNow());
    addEventListener("offline", () => this.#onStatus("offline"));
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.retryNow(); });
  }

  /** Ends the wait before the next connection, if there is one. */
  retryNow() {
    this.#wake();
  }

  /** Connects, reads, connects again; never returns. */
  async run() {
    let failures = 0;
    for (;;) {
      const opened = performance.now();
      let locked = false;
      try {
        await this.#connection();
      } catch (error) {
        locked = error instanceof KeyMissing;
        if (!locked) console.info("live stream ended:", error.message);
      }
      failures = performance.now() - opened > stableAfter ? 1 : failures + 1;
      if (locked) {
        this.#onStatus("locked");
        await this.#wait(Infinity);
        this.#onStatus("connecting");
      } else {
        this.#onStatus(navigator.onLine && failures < 6 ? "reconnecting" : "offline");
        const ceiling = Math.min(longestWait, (this.#parser.retry ?? firstWait) * 2 ** (failures - 1));
        await this.#wait(Math.random() * ceiling); // full jitter: a restarted server must not meet all pages at once
      }
    }
  }

  async #connection() {
    const abort = new AbortController();
    const resumeAfter = this.#parser.lastEventId;
    // What was half received belongs to the old connection; the position does not.
    const parser = new EventParser();
    parser.lastEventId = resumeAfter;
    parser.retry = this.#parser.retry;
    this.#parser = parser;

    const headers = { Accept: "text/event-stream" };
    if (resumeAfter) headers["Last-Event-ID"] = resumeAfter;
    const response = await authorizedFetch("/v1/events", { headers, cache: "no-store", signal: abort.signal });
    if (!response.ok || !response.headers.get("Content-Type")?.startsWith("text/event-stream")) {
      if (response.status === 400 || response.status === 410) parser.lastEventId = ""; // the position is of no use any more
      response.body?.cancel();
      throw new Error(`the server answered ${response.status}`);
    }

    this.#onStatus("live");
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let watchdog;
    try {
      for (;;) {
        clearTimeout(watchdog);
        watchdog = setTimeout(() => abort.abort(new Error("nothing was heard for a minute")), silence);
        const { value, done } = await reader.read();
        if (done) throw new Error("the server closed it");
        for (const event of parser.push(value)) this.#deliver(event);
      }
    } finally {
      clearTimeout(watchdog);
      abort.abort();
    }
  }

  #deliver(event) {
    let cloudEvent;
    try {
      cloudEvent = JSON.parse(event.data);
    } catch {
      return; // not for us: every frame of ours is JSON
    }
    this.#onEvent(cloudEvent);
  }

  #wait(ms) {
    return new Promise((resolve) => {
      const timer = Number.isFinite(ms) ? setTimeout(done, ms) : undefined;
      const self = this;
      function done() {
        clearTimeout(timer);
        self.#wake = () => {};
        resolve();
      }
      this.#wake = done;
    });
  }
}

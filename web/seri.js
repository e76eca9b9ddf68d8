// seri.js watches tasks of a Seri server, live, in two lines. It has no dependencies.
//
//   import { watch } from "https://seri.example.com/seri.js";
//   for await (const task of watch(id, { token })) console.log(task.state, task.progress);
//
//   <seri-progress task="…" token="…"></seri-progress>
//
// All that a page watches of one server shares one WebSocket, or, where there can be none, is read as Server-Sent Events.
// A connection that is lost comes back where it was, so no change is missed, and none is told twice.

const ENDED = ["succeeded", "failed", "revoked"];
const SILENCE = 65_000; // ms without a sign of life; the server gives one every 25 s
const lines = new Map(); // by the server's URL

/** Why a task cannot be watched. status is as HTTP has it: 401 no good token, 403 not with this one, 404 no such task. */
export class WatchError extends Error {
  constructor(status, detail) {
    super(detail);
    this.name = "WatchError";
    this.status = status;
  }
}

/** Watches a task until it ends. Iterate over what it returns, or give it callbacks. */
export function watch(task, options = {}) {
  const url = new URL(options.url ?? new URL(import.meta.url).origin, globalThis.location?.href).href.replace(/\/$/, "");
  if (!lines.has(url)) lines.set(url, new Line(url));
  return new Watch(lines.get(url), task, options);
}

class Watch {
  #line;
  #options;
  #news = false; // something was not handed to the iterator yet
  #wake = () => {};
  #finish;

  constructor(line, id, options) {
    this.#line = line;
    this.#options = options;
    this.id = id;
    this.queue = options.queue;
    this.task = undefined; // as the server shows it, with what has happened since
    this.live = false; // whether the connection stands
    this.closed = false;
    this.done = new Promise((resolve, reject) => (this.#finish = { resolve, reject }));
    this.done.catch(() => {}); // who does not ask need not handle it
    options.signal?.addEventListener("abort", () => this.close(), { once: true });
    if (options.signal?.aborted) this.close();
    else line.add(this);
  }

  /** Yields the task whenever it has changed, as it is then: who is slow skips what is old, never the end. */
  async *[Symbol.asyncIterator]() {
    try {
      for (;;) {
        if (this.#news) {
          this.#news = false;
          yield this.task;
        } else if (this.closed) {
          if (this.error) throw this.error;
          return;
        } else {
          await new Promise((resolve) => (this.#wake = resolve));
        }
      }
    } finally {
      this.close();
    }
  }

  close() {
    if (this.closed) return;
    this.closed = true;
    this.#line.remove(this);
    this.#wake();
  }

  /** The token to send; fresh: the last one was refused, or is about to expire. */
  async bearer(fresh) {
    const { token } = this.#options;
    if (typeof token !== "function") return token;
    if (fresh || !this.token) this.token = await token();
    return this.token;
  }

  get renewable() {
    return typeof this.#options.token === "function";
  }

  connected(live) {
    if (this.live === live || this.closed) return;
    this.live = live;
    this.#options.onconnection?.(live);
  }

  reset() {
    if (this.task) this.task = { ...this.task, seq: -1 };
  }

  show(task) {
    if (this.task && task.seq < this.task.seq) return;
    const same = this.task?.seq === task.seq;
    this.queue ??= task.queue;
    this.task = task;
    if (!same) this.#tell();
  }

  change({ data, time }) {
    if (data.seq && data.seq <= (this.task?.seq ?? -1)) return; // it was shown already; a task that is lost has no number
    const { task, ...rest } = data;
    const at = data.state === "active" && !rest.progress ? { started_at: time } : ENDED.includes(data.state) ? { finished_at: time } : {};
    const old = { ...this.task };
    for (const name of ["error", "reason", "due_at", "truncated"]) delete old[name];
    if (rest.attempt && rest.attempt !== old.attempt) delete old.progress;
    this.task = { ...old, id: task, ...at, ...rest };
    this.#tell();
  }

  async #tell() {
    if (this.closed) return;
    const { task } = this;
    if (task.truncated && !("result" in task)) {
      const read = await this.#line.read(this).catch(() => null);
      if (read && this.task === task) this.task = { ...task, result: read.result };
    }
    if (this.closed) return;
    this.#news = true;
    this.#options.onupdate?.(this.task);
    if (ENDED.includes(this.task.state)) {
      this.#options.onend?.(this.task);
      this.#finish.resolve(this.task);
      this.close();
    }
    this.#wake();
  }

  fail(status, detail) {
    if (this.closed) return;
    this.error = new WatchError(status, detail);
    this.close();
    this.#options.onerror?.(this.error);
    this.#finish.reject(this.error);
  }
}

/** All that a page watches of one server. */
class Line {
  #url;
  #watches = new Map(); // by the name of the subscription
  #names = 0;
  #cursor = ""; // of the last frame over the WebSocket
  #socket;
  #streams = new Map(); // of Server-Sent Events, by watch
  #sse = false; // what to try next
  #failures = 0;
  #heard = 0;
  #timer;
  #renewal;
  #guard;

  constructor(url) {
    this.#url = url;
    const wake = () => this.#awake();
    for (const [target, type] of [[globalThis, "online"], [globalThis, "pageshow"], [globalThis.document, "visibilitychange"], [globalThis.document, "resume"]]) {
      target?.addEventListener?.(type, wake);
    }
    globalThis.addEventListener?.("offline", () => this.#lost(0));
  }

  add(watch) {
    watch.name = `w${this.#names++}`;
    this.#watches.set(watch.name, watch);
    if (this.#socket?.readyState === 1) this.#subscribe([watch]);
    else if (this.#sse && this.#streams.size) this.#stream(watch);
    else if (!this.#socket && this.#timer === undefined) this.#connect();
    this.#guard ??= setInterval(() => this.#check(), 10_000);
  }

  remove(watch) {
    if (!this.#watches.delete(watch.name)) return;
    this.#send({ op: "unsubscribe", ids: [watch.name] });
    this.#streams.get(watch)?.abort();
    this.#streams.delete(watch);
    if (this.#watches.size) return;
    this.#drop();
    clearTimeout(this.#timer);
    clearInterval(this.#guard);
    this.#timer = this.#guard = undefined;
    this.#failures = 0;
    this.#cursor = "";
  }

  async read(watch) {
    const query = watch.queue ? `?queue=${encodeURIComponent(watch.queue)}` : "";
    const answer = await fetch(`${this.#url}/v1/tasks/${encodeURIComponent(watch.id)}${query}`, { headers: await headers(watch) });
    return answer.ok ? answer.json() : null;
  }

  #connect() {
    this.#timer = undefined;
    if (!this.#watches.size) return;
    if (this.#sse) for (const watch of this.#watches.values()) this.#stream(watch);
    else this.#open();
  }

  #open() {
    const socket = (this.#socket = new WebSocket(`${this.#url.replace(/^http/, "ws")}/v1/ws`, "seri.v1"));
    this.#heard = Date.now();
    let opened = false;
    socket.onopen = () => {
      opened = true;
      this.#heard = Date.now();
      this.#subscribe([...this.#watches.values()], true);
    };
    socket.onmessage = ({ data }) => {
      if (this.#socket === socket) this.#take(JSON.parse(data));
    };
    socket.onclose = ({ reason }) => {
      if (this.#socket !== socket) return;
      const said = new URLSearchParams(reason);
      this.#cursor = said.get("after") ?? this.#cursor;
      this.#sse = !opened; // it may be WebSockets that do not come through
      this.#lost(Number(said.get("reconnect_ms")), said.get("reason") === "expired");
    };
    setTimeout(() => opened || socket.close(), 10_000);
  }

  /** Asks for watches. On a new connection those that have been shown go on where they were. */
  async #subscribe(watches, first, fresh) {
    const socket = this.#socket;
    const away = new Set(); // of these no token can be had now
    const tokens = await Promise.all(watches.map((w) => w.bearer(fresh || expiry(w.token) < Date.now() + 5000).catch(() => void away.add(w))));
    if (socket !== this.#socket) return;
    if (away.size) setTimeout(() => socket === this.#socket && this.#subscribe([...away]), 5000);
    const all = [...new Set(tokens.filter(Boolean))];
    for (const token of all) this.#send({ op: "authorize", token });
    this.#renew();
    const subscriptions = (list) => list.map((w) => ({ id: w.name, task: w.id, queue: w.queue }));
    const open = watches.filter((w) => !w.closed && !away.has(w));
    const again = first && this.#cursor ? open.filter((w) => w.task) : [];
    const anew = open.filter((w) => !again.includes(w));
    if (again.length) this.#send({ op: "subscribe", after: this.#cursor, subscriptions: subscriptions(again) });
    if (anew.length) this.#send({ op: "subscribe", subscriptions: subscriptions(anew) });
  }

  #take(event) {
    this.#heard = Date.now();
    const named = this.#watches.get(event.subscription);
    const { data } = event;
    if (event.cursor) this.#cursor = event.cursor;
    switch (event.type) {
      case "dev.seri.subscribed":
        this.#failures = 0;
        for (const name of data.subscriptions) this.#watches.get(name)?.connected(true);
        break;
      case "dev.seri.error":
        if (!named) break;
        if (data.status === 401 && named.renewable && !named.renewed) {
          named.renewed = true;
          this.#subscribe([named], false, true);
        } else {
          named.fail(data.status, data.detail);
        }
        break;
      default:
        this.#apply(event, named ? [named] : [...this.#watches.values()]);
    }
  }

  #apply({ type, data, time }, watches) {
    for (const watch of watches) {
      if (type === "dev.seri.reset") watch.reset();
      else if (type === "dev.seri.snapshot") {
        const task = data.tasks.find((t) => t.id === watch.id);
        if (task) watch.show(task);
        else watch.fail(404, "there is no such task, or no longer");
      } else if (data.task === watch.id && data.state && (watch.queue ?? data.queue) === data.queue) watch.change({ data, time });
      else continue;
      watch.renewed = false;
    }
  }

  /** Brings fresh tokens before the old ones expire. */
  #renew() {
    clearTimeout(this.#renewal);
    const left = Math.min(...[...this.#watches.values()].filter((w) => w.renewable).map((w) => expiry(w.token))) - Date.now();
    if (left === Infinity) return;
    this.#renewal = setTimeout(async () => {
      for (const w of this.#watches.values()) {
        const token = w.renewable && expiry(w.token) < Date.now() + left && (await w.bearer(true).catch(() => 0));
        if (token) this.#send({ op: "authorize", token });
      }
      this.#renew();
    }, Math.min(Math.max(1000, left * 0.75), 1e9));
  }

  async #stream(watch) {
    const abort = new AbortController();
    this.#streams.set(watch, abort);
    const query = new URLSearchParams({ task: watch.id });
    if (watch.queue) query.set("queue", watch.queue);
    let retry = 0;
    let opened = false;
    try {
      const after = watch.task && (watch.cursor ?? this.#cursor);
      const answer = await fetch(`${this.#url}/v1/events?${query}`, {
        headers: { ...(await headers(watch, watch.renewed)), ...(after ? { "Last-Event-ID": after } : {}) },
        signal: abort.signal,
        cache: "no-store",
      });
      if ([401, 403, 404].includes(answer.status)) {
        if (answer.status !== 401 || !watch.renewable || watch.renewed) return watch.fail(answer.status, (await answer.json()).detail);
        watch.renewed = true;
      } else if (answer.ok) {
        opened = true;
        this.#failures = 0;
        watch.connected(true);
        let rest = "";
        const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        for (;;) {
          const { value, done } = await reader.read();
          if (done) break;
          this.#heard = Date.now();
          const blocks = (rest + value).split("\n\n");
          rest = blocks.pop();
          for (const block of blocks) {
            const field = (name) => block.match(new RegExp(`^${name}: (.*)$`, "m"))?.[1];
            retry = Number(field("retry") ?? retry);
            watch.cursor = field("id") ?? watch.cursor;
            if (field("data")) this.#apply(JSON.parse(field("data")), [watch]);
          }
        }
      } else {
        retry = Number(answer.headers.get("Retry-After")) * 1000;
      }
    } catch {
      // as good as ended
    }
    if (this.#streams.get(watch) !== abort) return; // closed, or replaced
    this.#streams.delete(watch);
    this.#sse = false; // the WebSocket has the next chance
    const queue = watch.queue && encodeURIComponent(watch.queue);
    if (opened && watch.cursor && queue) this.#cursor = this.#watches.size > 1 ? "" : watch.cursor.includes("@") ? watch.cursor : `${queue}@${watch.cursor}`;
    this.#lost(retry);
  }

  /** Comes back after a while: a random one, so that not all pages come at once, and longer each time. */
  #lost(wait, soon) {
    this.#drop();
    for (const watch of this.#watches.values()) watch.connected(false);
    if (!this.#watches.size) return;
    wait ||= soon ? 50 : Math.random() * Math.min(30_000, 1000 * 2 ** this.#failures++);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#connect(), wait);
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = undefined;
    clearTimeout(this.#renewal);
    socket?.close();
    for (const abort of this.#streams.values()) abort.abort();
    this.#streams.clear();
  }

  #send(command) {
    if (this.#socket?.readyState === 1) this.#socket.send(JSON.stringify(command));
  }

  /** The page may have slept, and its connection may have died without a word. */
  #awake() {
    if (!this.#watches.size || globalThis.document?.visibilityState === "hidden") return;
    if (this.#timer !== undefined) {
      clearTimeout(this.#timer);
      this.#connect();
    } else if (this.#socket?.readyState === 1) {
      const asked = Date.now();
      this.#send({ op: "ping" });
      setTimeout(() => this.#heard < asked && this.#socket && this.#lost(0, true), 3000);
    }
  }

  #check() {
    if (this.#timer === undefined && Date.now() - this.#heard > SILENCE) this.#lost(0, true);
  }
}

async function headers(watch, fresh) {
  const token = await watch.bearer(fresh);
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/** When a token expires, in ms; one of which it cannot be seen never does. */
function expiry(token) {
  try {
    return JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"))).exp * 1000;
  } catch {
    return Infinity;
  }
}

const WORDS = { queued: "Queued", running: "Running", retrying: "Trying again soon", done: "Done", failed: "Failed", offline: "Offline, reconnecting" };
const STATES = { scheduled: "queued", pending: "queued", active: "running", retrying: "retrying", succeeded: "done", failed: "failed", revoked: "failed" };
const STYLE = `:host{display:block;font:14px/1.4 system-ui,sans-serif}:host([hidden]){display:none}[part=head]{display:flex;justify-content:space-between;gap:1em}
[part=track]{height:.5em;margin:.3em 0;border-radius:1em;overflow:hidden;background:#8884}
[part=bar]{height:100%;width:0;border-radius:inherit;background:#0a7d33;transition:width .2s}
:host([state=failed]) [part=bar]{background:#c02626}:host([state=retrying]) [part=bar],:host([state=offline]) [part=bar]{background:#b26a00}
[part=track]:not([aria-valuenow]) [part=bar]{width:30%;animation:go 1.5s infinite ease-in-out alternate}@keyframes go{to{margin-left:70%}}
@media(prefers-reduced-motion:reduce){[part=bar]{animation:none!important;transition:none}}[part=message]{min-height:1.4em;opacity:.8}
[part=live]{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}`;

// Where there is no page, as in a server that renders one, there is no element either.
const Base = globalThis.HTMLElement ?? class {};

/** <seri-progress task="…" token="…">: shows how far a task has come. */
export class SeriProgress extends Base {
  static observedAttributes = ["task", "token", "token-url", "url", "queue"];
  static words = WORDS;
  #parts = {};
  #watch;
  #offline;
  #shown;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet(); // which a policy without unsafe-inline allows
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    const make = (part, parent, attributes = {}) => {
      const element = document.createElement(part === "label" ? "slot" : "div");
      for (const [name, value] of Object.entries({ part, ...attributes })) element.setAttribute(name, value);
      parent.append(element);
      return (this.#parts[part] = element);
    };
    const head = make("head", root);
    make("label", head);
    make("status", head);
    make("bar", make("track", root, { role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 }));
    make("message", root);
    make("live", root, { role: "status", "aria-live": "polite" });
  }

  /** The task as it was last seen. */
  get value() {
    return this.#watch?.task;
  }

  connectedCallback() {
    this.#begin();
  }

  disconnectedCallback() {
    this.#end();
  }

  attributeChangedCallback(name, before, after) {
    if (this.#watch && before !== after) this.#begin();
  }

  #end() {
    clearTimeout(this.#offline);
    this.#watch?.close();
    this.#watch = undefined;
  }

  #begin() {
    this.#end();
    const task = this.getAttribute("task");
    if (!task || !this.isConnected) return;
    const source = this.getAttribute("token-url");
    const option = (name) => this.getAttribute(name) ?? undefined;
    this.#render("queued");
    this.#watch = watch(task, {
      url: option("url"),
      queue: option("queue"),
      token: this.token ?? (source ? () => fetchToken(source) : option("token")),
      onupdate: (t) => this.#update(t),
      onerror: (error) => {
        this.#render("failed", error.message);
        this.#emit("seri-error", error);
      },
      onconnection: (live) => {
        clearTimeout(this.#offline);
        if (live) this.#refresh();
        else this.#offline = setTimeout(() => this.#render("offline"), 1000); // a moment is not worth a word
      },
    });
  }

  #refresh() {
    if (this.value) this.#render(STATES[this.value.state], undefined, this.value);
  }

  #update(task) {
    this.#refresh();
    this.#emit("seri-update", task);
    if (ENDED.includes(task.state)) this.#emit("seri-end", task);
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }

  #render(state, text, task) {
    const { bar, track, status, message, live, label } = this.#parts;
    const { done = 0, total = 0, message: said = "" } = task?.progress ?? {};
    const percent = state === "done" ? 100 : total > 0 ? Math.min(100, Math.round((100 * done) / total)) : state === "running" ? undefined : 0;
    this.setAttribute("state", state);
    if (state !== "offline") {
      if (percent === undefined) track.removeAttribute("aria-valuenow");
      else track.setAttribute("aria-valuenow", percent);
      bar.style.width = percent === undefined ? "" : `${percent}%`;
      message.textContent = text ?? (state === "failed" || state === "retrying" ? (task?.error ?? task?.reason ?? "") : state === "running" ? said : "");
    }
    const word = task?.state === "revoked" ? "Revoked" : SeriProgress.words[state];
    const name = this.getAttribute("aria-label") ?? (this.textContent.trim() || task?.type || "Task");
    track.setAttribute("aria-label", name);
    if (task && !this.textContent.trim()) label.textContent = task.type;
    status.textContent = state === "running" && percent !== undefined ? `${word}, ${percent} %` : word;
    if (this.#shown !== state) live.textContent = `${name}: ${word}`; // changes of state only; progress would never let it end
    this.#shown = state;
  }
}

async function fetchToken(url) {
  const answer = await fetch(url, { credentials: "same-origin", cache: "no-store" });
  return (await answer.json()).token;
}

if (globalThis.customElements && !customElements.get("seri-progress")) customElements.define("seri-progress", SeriProgress);

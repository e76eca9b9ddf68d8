/** What a task is in. The first four go on, the last three are the end. */
export type State = "scheduled" | "pending" | "active" | "retrying" | "succeeded" | "failed" | "revoked";

/** How far a handler says that it has come; a total of 0: it does not know of how much. */
export interface Progress {
  done: number;
  total: number;
  message?: string;
}

/** A task, as GET /v1/tasks/{id} shows it, without payload and headers for the holder of a token. */
export interface Task<Result = unknown> {
  id: string;
  type: string;
  queue: string;
  owner?: string;
  state: State;
  reason?: string;
  progress?: Progress;
  /** What the handler returned, once the task has succeeded. */
  result?: Result;
  /** The result was too large for an event, and could not be read from the task either. */
  truncated?: boolean;
  /** Of the last failed attempt. */
  error?: string;
  attempt?: number;
  worker?: string;
  due_at?: string;
  enqueued_at?: string;
  started_at?: string;
  finished_at?: string;
  /** The number of the task's last event. */
  seq: number;
  [name: string]: unknown;
}

/** A token, or what gets one: it is called again when the last one is about to expire, or was refused. */
export type TokenSource = string | (() => string | Promise<string>);

export interface Options<Result = unknown> {
  /** Of POST /v1/tokens, or of the answer to POST /v1/tasks?token_ttl=. */
  token?: TokenSource;
  /** The server. Default: the one that this module was loaded from. */
  url?: string | URL;
  /** The task's queue, if it is known: saves the server a search. */
  queue?: string;
  /** Ends the watch. */
  signal?: AbortSignal;
  /** Called for each change, the last one included, in order and once. */
  onupdate?(task: Task<Result>): void;
  /** Called when the task has succeeded, failed, or been revoked. */
  onend?(task: Task<Result>): void;
  /** Called when the task cannot be watched. A connection that is lost is no error: it comes back. */
  onerror?(error: WatchError): void;
  /** Called when the connection stands, and when it is lost. */
  onconnection?(live: boolean): void;
}

/** A task that is watched, until it ends. */
export interface Watch<Result = unknown> extends AsyncIterable<Task<Result>> {
  readonly id: string;
  /** As it was last seen; undefined: not yet. */
  readonly task: Task<Result> | undefined;
  /** Whether the connection stands. */
  readonly live: boolean;
  readonly closed: boolean;
  /** The task as it has ended; rejected with a WatchError if it cannot be watched. Never settled by close. */
  readonly done: Promise<Task<Result>>;
  /** Yields the task whenever it has changed, as it is then: who is slow skips what is old, never the end. */
  [Symbol.asyncIterator](): AsyncIterator<Task<Result>, void>;
  close(): void;
}

/** Why a task cannot be watched. */
export class WatchError extends Error {
  constructor(status: number, detail: string);
  /** As HTTP has it: 401 no good token, 403 not with this one, 404 no such task. */
  readonly status: number;
}

/** Watches a task until it ends. Iterate over what it returns, or give it callbacks. */
export function watch<Result = unknown>(task: string, options?: Options<Result>): Watch<Result>;

/**
 * <seri-progress task="…" token="…">: shows how far a task has come.
 *
 * Attributes: task, token, token-url (answers {"token": …}, asked again as tokens expire), url, queue, aria-label.
 * Its text, or its slot, is the label; without one it is the task's type. The attribute state says which of queued,
 * running, retrying, done, failed and offline it shows. Parts: head, label, status, track, bar, message.
 * Events, which bubble: seri-update and seri-end (detail: the task), seri-error (detail: the WatchError).
 */
export class SeriProgress extends HTMLElement {
  /** What the states are called; change them for another language. */
  static words: Record<"queued" | "running" | "retrying" | "done" | "failed" | "offline", string>;
  /** In place of the attribute, or a function that gets one. Set it before the element is put into the page. */
  token?: TokenSource;
  readonly value: Task | undefined;
}

declare global {
  interface HTMLElementTagNameMap {
    "seri-progress": SeriProgress;
  }
  interface HTMLElementEventMap {
    "seri-update": CustomEvent<Task>;
    "seri-end": CustomEvent<Task>;
    "seri-error": CustomEvent<WatchError>;
  }
}

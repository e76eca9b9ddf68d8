// The server's clock, as well as a browser can know it: ages and countdowns must not depend on the visitor's clock.

let skew; // ms by which this clock is ahead of the server's; undefined until the first frame

/** Learns from a frame that the server stamped at the given time. Old frames that are replayed only look like a large
 *  delay, so the smallest difference seen is the best estimate. */
export function observe(serverTime) {
  const difference = Date.now() - Date.parse(serverTime);
  if (Number.isFinite(difference) && (skew === undefined || difference < skew)) skew = difference;
}

/** The server's time now, in ms since 1970. */
export function now() {
  return Date.now() - (skew ?? 0);
}

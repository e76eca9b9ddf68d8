// The word and the dot that tell whether the page is live.
import { find, setText } from "./dom.js";

const words = {
  connecting: "Connecting",
  live: "Live",
  reconnecting: "Reconnecting",
  offline: "Offline",
  locked: "API key needed",
};

/** Returns a function that shows a status of the live stream. */
export function connectionIndicator(onRetry) {
  const indicator = find("#connection");
  const retry = find("#connection-retry");
  retry.addEventListener("click", onRetry);
  return (status) => {
    indicator.dataset.status = status;
    setText(find("#connection-text"), words[status]);
    setText(retry, status === "locked" ? "Enter a key" : "Retry now");
    const offered = status === "offline" || status === "locked";
    if (!offered && document.activeElement === retry) find(".live").focus({ preventScroll: true });
    retry.hidden = !offered;
  };
}

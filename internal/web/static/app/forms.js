// The forms that enqueue a task: filled with samples, faults shown where they are, the same request as a curl line.
import { enqueue, Problem } from "./api.js";
import { apiKey, KeyMissing } from "./auth.js";
import { cloneTemplate, copy, find, make, setNote } from "./dom.js";
import { shortId } from "./format.js";
import { showPreview } from "./preview.js";
import { Faults, requestOf } from "./requests.js";

/** Sets up one form. onEnqueued(task) gets what the server answered; onShow(task) is asked to bring it into view. */
export function setUpForm(form, { onEnqueued, onShow }) {
  const type = form.dataset.type.replace(/\W/g, "-");
  form.append(cloneTemplate("form-foot"));
  for (const label of form.querySelectorAll("label[data-for]")) {
    const input = form.elements.namedItem(label.dataset.for);
    label.htmlFor = input.id = `${type}-${input.name}`;
  }
  for (const input of form.querySelectorAll("[data-sample]")) input.value = location.origin + input.dataset.sample;

  const button = find("[type=submit]", form);
  const outcome = find(".outcome", form);
  const problem = find(".problem", form);
  const curl = find(".curl code", form);

  form.addEventListener("input", (event) => {
    clearFault(event.target.closest(".field"));
    writeCurl(form, curl);
  });
  form.addEventListener("change", (event) => {
    if (event.target.name === "source") showPreview(form);
  });
  find(".curl", form).addEventListener("toggle", () => writeCurl(form, curl));
  find(".curl-copy", form).addEventListener("click", async (event) => {
    event.target.textContent = (await copy(curl.textContent)) ? "Copied" : "Select the text to copy it";
    setTimeout(() => { event.target.textContent = "Copy"; }, 1500);
  });

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.getAttribute("aria-disabled") === "true") return;
    form.querySelectorAll(".field").forEach(clearFault);
    setNote(problem, "");
    outcome.textContent = "";
    button.setAttribute("aria-disabled", "true"); // stays focusable, unlike "disabled"
    try {
      const task = await enqueue(requestOf(form));
      onEnqueued(task);
      const show = make("button", { type: "button", class: "link", text: shortId(task.id) });
      show.addEventListener("click", () => onShow(task));
      outcome.append("Enqueued as ", show);
    } catch (error) {
      showError(form, problem, error);
    } finally {
      button.removeAttribute("aria-disabled");
    }
  });
}

function showError(form, problem, error) {
  if (error instanceof Faults) {
    showFaults(form, error.fields);
  } else if (error instanceof Problem) {
    const elsewhere = showFaults(form, error.fields);
    const words = elsewhere.map(({ field, message }) => (field ? `${field}: ${message}` : message));
    if (error.fields.length === 0 || words.length > 0) setNote(problem, [error.message, ...words].join(" "));
  } else if (error instanceof KeyMissing) {
    setNote(problem, error.message);
  } else {
    setNote(problem, "The server cannot be reached. Nothing was enqueued, as far as this page can tell.");
  }
}

/** Shows each fault at its field, moves the focus to the first, and returns those whose field is not in the form. */
function showFaults(form, faults) {
  const elsewhere = [];
  let first;
  for (const fault of faults) {
    const field = fieldFor(form, fault.field);
    if (!field) {
      elsewhere.push(fault);
      continue;
    }
    const input = find("input, select, textarea", field);
    const id = `${input.id}-fault`;
    field.querySelector(".fault")?.remove();
    field.append(make("p", { class: "fault", id, text: fault.message }));
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", id);
    const options = field.closest("details");
    if (options) options.open = true;
    first ??= input;
  }
  first?.focus();
  return elsewhere;
}

/** The field whose path is the fault's or its nearest parent: a fault of payload.sizes.0 belongs to payload.sizes. */
function fieldFor(form, path) {
  const parts = path.split(".");
  for (let n = parts.length; n > 0; n--) {
    const field = form.querySelector(`[data-field="${CSS.escape(parts.slice(0, n).join("."))}"]`);
    if (field) return field;
  }
  return undefined;
}

function clearFault(field) {
  if (!field?.querySelector(".fault")) return;
  find(".fault", field).remove();
  const input = find("input, select, textarea", field);
  input.removeAttribute("aria-invalid");
  input.removeAttribute("aria-describedby");
}

function writeCurl(form, code) {
  if (!code.closest("details").open) return;
  try {
    const lines = [`curl ${quote(`${location.origin}/v1/tasks`)}`, `-H 'Content-Type: application/json'`];
    if (apiKey()) lines.push(`-H "Authorization: Bearer $SERI_API_KEY"`);
    lines.push(`-d ${quote(JSON.stringify(requestOf(form), null, 2))}`);
    code.textContent = lines.join(" \\\n  ");
  } catch (error) {
    if (!(error instanceof Faults)) throw error;
    code.textContent = error.fields.map((fault) => fault.message).join("\n");
  }
}

function quote(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

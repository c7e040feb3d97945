"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg", BARS = 12, EVERY_MS = 5000;

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children.map((child) => (child instanceof Node ? child : String(child))));
    return made;
  }

  function drawn(tag, attributes) {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  }

  // What is typed becomes what JSON says; what is no number goes as it is, and the endpoint says what is wrong with it.
  function typed(control) {
    const text = control.value.trim(), kind = control.dataset.kind;
    if (text === "" && (kind !== "text" || !control.required)) return undefined;
    if (kind === "number") return /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(text) ? new Exact(text) : text;
    if (kind === "boolean") return text === "true";
    if (kind === "json") { try { return JSON.parse(text); } catch { return text; } }
    return control.value;
  }

  // A number as it was typed: JavaScript would round a whole number of more than 53 bits.
  class Exact { constructor(text) { this.text = text.replace(/^(-?)0+(?=\d)/, "$1"); } }

  function body(form) {
    const parts = [];
    for (const control of form.querySelectorAll("[data-kind]")) {
      const value = typed(control);
      if (value !== undefined) parts.push(JSON.stringify(control.name) + ": " + (value instanceof Exact ? value.text : JSON.stringify(value)));
    }
    return "{" + parts.join(", ") + "}";
  }

  const quoted = (text) => "'" + text.replaceAll("'", "'\\''") + "'";
  const here = (path) => new URL(path, document.baseURI).href;
  const pathOf = (card) => "v1/models/" + encodeURIComponent(card.dataset.model) + "/predict";

  function number(value) {
    if (typeof value !== "number") return value === null ? "missing" : String(value);
    return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)));
  }

  function plain(value) { return value.toFixed(3).replace("-", "−"); }
  function signed(value) { return (value < 0 ? "" : "+") + plain(value); }

  function bar(value, most) {
    const picture = drawn("svg", { viewBox: "0 0 100 13", preserveAspectRatio: "none", "aria-hidden": "true" });
    const width = most ? 49 * Math.abs(value) / most : 0;
    picture.append(drawn("line", { x1: 50, x2: 50, y1: 0, y2: 13 }),
      drawn("rect", { x: value < 0 ? 50 - width : 50, y: 1, width, height: 11, class: value < 0 ? "down" : "up" }));
    return picture;
  }

  function line(name, amount, picture, kind = "") {
    const cell = element("td", { class: "name", title: name }, name);
    return element("tr", { class: kind }, cell, element("td", {}, picture || ""), element("td", { class: "amount" }, amount));
  }

  function explained(told) {
    const shown = told.contributions.slice(0, BARS), rest = told.contributions.slice(BARS);
    const left = rest.reduce((sum, part) => sum + part.contribution, 0);
    const most = Math.max(...shown.map((part) => Math.abs(part.contribution)), Math.abs(left));
    const rows = shown.map((part) => line(part.feature + " = " + number(part.value), signed(part.contribution), bar(part.contribution, most)));
    if (rest.length) rows.push(line(rest.length + " other features", signed(left), bar(left, most)));
    const raw = told.link === "logit" ? "log-odds" : told.link === "log" ? "logarithm" : "value";
    rows.unshift(line("before any feature", plain(told.base)));
    rows.push(line(raw, plain(told.raw), null, "sum"));
    return [element("table", { class: "bars" }, element("tbody", {}, ...rows)),
      element("p", { class: "legend" }, element("span", { class: "up" }, "■ raises"), " ", element("span", { class: "down" }, "■ lowers"), " the score. ", told.formula, ".")];
  }

  function answered(answer, milliseconds) {
    const score = "probability" in answer ? (100 * answer.probability).toFixed(1) + " %" : number(answer.value);
    const parts = [element("p", { class: "answer" }, element("strong", {}, score),
      element("span", { class: "quiet" }, ("probability" in answer ? "probability" : "value") + " by version " + answer.version + ", in " + milliseconds.toFixed(0) + " ms"))];
    for (const warning of answer.warnings || []) parts.push(element("p", { class: "told held" }, warning));
    if (answer.explanation) parts.push(...explained(answer.explanation));
    const features = Object.entries(answer.features || {});
    const values = features.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, number(value))));
    if (features.length) parts.push(element("details", {}, element("summary", {}, features.length + " features as of " + answer.as_of), element("dl", { class: "values" }, ...values)));
    parts.push(element("p", { class: "legend" }, "Request " + answer.request_id));
    return parts;
  }

  function refused(form, status, detail) {
    const unplaced = [];
    for (const problem of Array.isArray(detail) ? detail : [{ msg: typeof detail === "string" ? detail : JSON.stringify(detail) }]) {
      const control = problem.loc && [...form.querySelectorAll("[data-kind]")].find((one) => one.name === problem.loc[1]);
      if (!control) { unplaced.push([...(problem.loc || []).slice(1), problem.msg].join(": ")); continue; }
      const label = control.closest("label"), said = label.querySelector("small:last-child");
      label.classList.add("wrong");
      said.dataset.hint ??= said.textContent;
      said.textContent = problem.msg;
    }
    const place = form.querySelector(".problem");
    place.textContent = status + (unplaced.length ? ": " + unplaced.join("; ") : ": see the fields in red");
    place.hidden = false;
  }

  function cleared(form) {
    form.querySelector(".problem").hidden = true;
    for (const label of form.querySelectorAll(".wrong")) {
      label.classList.remove("wrong");
      const said = label.querySelector("small:last-child");
      said.textContent = said.dataset.hint;
    }
  }

  async function predict(card, form) {
    const button = form.querySelector("button[type=submit]"), result = card.querySelector(".result");
    cleared(form);
    button.disabled = true;
    try {
      const query = "?features=true" + ("unexplained" in form.dataset ? "" : "&explain=true"), began = performance.now();
      const reply = await fetch(here(pathOf(card) + query), { method: "POST", headers: { "Content-Type": "application/json" }, body: body(form) });
      const text = await reply.text(), took = performance.now() - began;
      let content;
      try { content = JSON.parse(text); } catch { content = { detail: text }; }
      if (reply.ok) result.replaceChildren(...answered(content, took)); else refused(form, reply.status, content.detail ?? text);
    } catch (error) {
      refused(form, "No answer", String(error));
    } finally {
      button.disabled = false;
      refresh();
    }
  }

  function retold(card, form) {
    const code = card.querySelector(".curl code");
    code.textContent = "curl -X POST " + quoted(here(pathOf(card))) + " -H 'Content-Type: application/json' -d " + quoted(body(form));
  }

  async function copy(button) {
    const code = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  }

  // The page once more: what is told of each model is taken over, forms and answers stay.
  async function refresh() {
    try {
      const reply = await fetch(here("."), { headers: { Accept: "text/html" } });
      if (!reply.ok) return;
      const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
      for (const part of fresh.querySelectorAll("[data-live]")) {
        const old = document.querySelector('[data-live="' + CSS.escape(part.dataset.live) + '"]');
        if (old && old.innerHTML !== part.innerHTML) old.replaceWith(document.adoptNode(part));
      }
    } catch { /* the next look comes soon */ }
  }

  for (const card of document.querySelectorAll("[data-model]")) {
    const form = card.querySelector("form");
    if (!form) continue;
    form.addEventListener("submit", (event) => { event.preventDefault(); predict(card, form); });
    form.addEventListener("input", () => retold(card, form));
    retold(card, form);
  }
  for (const button of document.querySelectorAll(".copy")) button.addEventListener("click", () => copy(button));
  setInterval(() => { if (document.visibilityState === "visible") refresh(); }, EVERY_MS);
})();

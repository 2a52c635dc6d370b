"use strict";
const $ = (id) => document.getElementById(id);
const state = { user: null, watched: 0, history: [], profile: [], newcomer: false };
const panels = [...document.querySelectorAll("#lists section")];

function make(tag, attributes = {}, ...children) {
  const element = Object.assign(document.createElement(tag), attributes);
  element.append(...children.filter((child) => child !== null));
  return element;
}

/* Ids of more than 53 bits stay text: as numbers they would be rounded. */
function exact(key, value, context) {
  return Number.isInteger(value) && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source) ? context.source : value;
}

async function ask(path, body) {
  const post = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(path, body ? post : {});
  const value = await answer.text().then((text) => JSON.parse(text, exact)).catch(() => ({ detail: `the service answered ${answer.status}` }));
  if (answer.ok) return value;
  throw new Error(value.detail);
}

/* Wraps a function so that only the outcome of its latest call is shown. */
function latest(work, show, fail) {
  let turn = 0;
  return async () => {
    const mine = ++turn;
    try {
      const value = await work();
      if (mine === turn) show(value);
    } catch (error) {
      if (mine === turn) fail(error);
    }
  };
}

function cut(text) {
  return text.length > 120 ? `${text.slice(0, 119)}…` : text;
}
function film(item, { score = null, seen = false, remove = null } = {}) {
  const title = cut(item.title ?? `Item ${item.item_id}`);
  const about = [item.year, item.genres.join(", "), item.date?.slice(0, 10)].filter(Boolean).join(" · ");
  const shown = make("button", { className: "film", title: "Items like this one" },
    score === null ? null : make("span", { className: "score", textContent: score.toPrecision(4) }),
    make("b", { textContent: title }),
    seen ? make("span", { className: "mark seen", textContent: "in the history" }) : null,
    make("small", { textContent: cut(about) }));
  shown.addEventListener("click", () => openSimilar(item.item_id, title));
  const off = remove && make("button", { className: "off", textContent: "✕", ariaLabel: `Remove ${title}` });
  off?.addEventListener("click", remove);
  return make("li", {}, shown, off);
}

function rows(answer) {
  return answer.items.map((item_id, i) => ({
    item_id, title: answer.titles[i], year: answer.years[i], genres: answer.genres[i], score: answer.scores[i],
  }));
}

function say(note, text, bad = false) {
  note.textContent = text;
  note.classList.toggle("bad", bad);
}

/* The two lists of recommendations */
const refreshers = panels.map((panel) => {
  const [model, note, list] = ["select", "p", "ol"].map((tag) => panel.querySelector(tag));
  return latest(
    () => {
      const k = Number($("k").value), exclude_seen = $("exclude").checked;
      if (!state.newcomer) return ask(`reco/${model.value}/${encodeURIComponent(state.user)}?k=${k}&exclude_seen=${exclude_seen}`);
      const history = state.profile.map(({ item_id }) => ({ item_id }));
      return ask(`reco/${model.value}`, { history, demographics: chosen(), k, exclude_seen });
    },
    (answer) => {
      list.replaceChildren(...rows(answer).map((item, i) => film(item, { score: item.score, seen: answer.seen[i] })));
      say(note, answer.personal ? "made for this user" : "the same for everyone");
    },
    (error) => { list.replaceChildren(); say(note, error.message, true); },
  );
});
function refresh() {
  showHistory();
  markShown();
  if (state.newcomer || state.user !== null) refreshers.forEach((one) => one());
}

/* Recommend for: a user in the data */
function showHistory() {
  const films = state.newcomer ? [...state.profile].reverse() : state.history;
  $("history").replaceChildren(...films.map((item) => film(item, {
    remove: state.newcomer ? () => { state.profile = state.profile.filter((one) => one !== item); refresh(); } : null,
  })));
  const count = state.newcomer ? state.profile.length : state.watched;
  say($("history-note"), state.newcomer
    ? count ? "The item you chose last comes first." : "Nothing yet: choose items above. Until then, only the demographics count."
    : state.user === null ? "" : `User ${state.user} has ${count} items${count > films.length ? `; these are the last ${films.length}` : ""}.`);
}
async function pick(user) {
  const about = await ask(`users/${encodeURIComponent(user)}/history?k=50`);
  Object.assign(state, { user, history: about.history, watched: about.watched });
  $("user-query").value = user;
  $("users").replaceChildren();
  $("demographics").replaceChildren(...Object.entries(about.demographics).map(([column, value]) =>
    make("span", { textContent: `${words(column)}: ${[value].flat().map(words).join(", ")}` })));
  refresh();
}
const findUsers = latest(
  () => $("user-query").value ? ask(`users?query=${encodeURIComponent($("user-query").value)}&k=20`) : [],
  (users) => $("users").replaceChildren(...options(users.map((user) => [`User ${user}`, () => pick(user)]), $("user-query").value)),
  (error) => $("users").replaceChildren(make("li", { className: "note bad", textContent: error.message })),
);
function options(choices, query) {
  if (!choices.length && query) return [make("li", { className: "note", textContent: "Nothing found." })];
  return choices.map(([text, choose]) => {
    const button = make("button", { textContent: text });
    button.addEventListener("click", choose);
    return make("li", {}, button);
  });
}

/* Recommend for: a profile */
const findFilms = latest(
  () => $("film-query").value.trim() ? ask(`items?query=${encodeURIComponent($("film-query").value.trim())}&k=20`) : [],
  (films) => $("films").replaceChildren(...options(films.map((item) => [
    item.year ? `${cut(item.title)} (${item.year})` : cut(item.title),
    () => {
      state.profile = [...state.profile.filter((one) => one.item_id !== item.item_id), item];
      $("film-query").value = "";
      $("films").replaceChildren();
      $("film-query").focus();
      refresh();
    },
  ]), $("film-query").value.trim())),
  (error) => $("films").replaceChildren(make("li", { className: "note bad", textContent: error.message })),
);
function chosen() {
  const picked = [...$("columns").querySelectorAll("select")].filter((select) => select.value);
  return Object.fromEntries(picked.map((select) => [select.name, select.value]));
}
function words(text) {
  return text.replace(/^(age|income)_(?=\d)/, "").replace(/_inf$/, "+").replace(/(\d)_(?=\d)/g, "$1–").replaceAll("_", " ");
}
function show(newcomer) {
  state.newcomer = newcomer;
  for (const [name, on] of [["user", !newcomer], ["profile", newcomer]]) {
    $(name).hidden = !on;
    $(`tab-${name}`).setAttribute("aria-selected", on);
    $(`tab-${name}`).tabIndex = on ? 0 : -1;
  }
  refresh();
}

/* Items similar to an item */
let like = null;
const findSimilar = latest(
  () => ask(`similar/${$("similar-model").value}/${encodeURIComponent(like)}?k=10`),
  (answer) => {
    $("similar").querySelector("ol").replaceChildren(...rows(answer).map((item) => film(item, { score: item.score })));
    say($("similar").querySelector("p"), "");
  },
  (error) => { $("similar").querySelector("ol").replaceChildren(); say($("similar").querySelector("p"), error.message, true); },
);
function openSimilar(item, title) {
  like = item;
  $("similar-title").textContent = `Items like ${title}`;
  if (!$("similar").open) $("similar").showModal();
  findSimilar();
}

/* The table of models */
function number(value) {
  return Math.abs(value) < 1 ? value.toFixed(4) : value.toFixed(2);
}
function showModels(about) {
  const names = Object.keys(Object.assign({}, ...about.models.map((model) => model.metrics)));
  const columns = names.filter((name) => /^(map|ndcg|recall|novelty|coverage)@/.test(name));
  const best = (name) => Math.max(...about.models.map((model) => model.metrics[name] ?? -Infinity));
  $("metrics").replaceChildren(
    make("thead", {}, make("tr", {}, ...["model", ...columns, "dimensions"].map((text) => make("th", { scope: "col", textContent: text })))),
    make("tbody", {}, ...about.models.map((model) => {
      const row = make("tr", {}, make("td", { textContent: model.name }), ...columns.map((name) => make("td", {
        textContent: name in model.metrics ? number(model.metrics[name]) : "–",
        style: model.metrics[name] === best(name) ? "font-weight: 700" : "",
      })), make("td", { textContent: model.dimensions }));
      row.dataset.model = model.name;
      return row;
    })),
  );
}
function markShown() {
  const shown = panels.map((panel) => panel.querySelector("select").value);
  for (const row of $("metrics").querySelectorAll("tbody tr")) row.classList.toggle("shown", shown.includes(row.dataset.model));
}

async function start() {
  const about = await ask("models");
  const names = about.models.map((model) => model.name);
  const pickers = panels.map((panel) => panel.querySelector("select"));
  for (const picker of pickers) picker.append(...names.map((name) => make("option", { textContent: name })));
  pickers[0].value = about.default;
  pickers[1].value = about.fallback;
  const comparable = about.models.filter((model) => model.similar).map((model) => model.name);
  $("similar-model").append(...comparable.map((name) => make("option", { textContent: name })));
  if (comparable.includes(about.default)) $("similar-model").value = about.default;
  for (const [column, values] of Object.entries(about.demographics)) {
    const select = make("select", { id: `column-${column}`, name: column },
      make("option", { value: "", textContent: "not given" }),
      ...values.map((value) => make("option", { value, textContent: words(value) })));
    select.addEventListener("change", refresh);
    $("columns").append(make("label", { htmlFor: select.id, textContent: words(column) }), select);
  }
  const { users, items } = about.models[0];
  $("summary").textContent = `${users.toLocaleString("en")} users, ${items.toLocaleString("en")} items, ${names.length} models`;
  showModels(about);

  for (const element of [...pickers, $("k"), $("exclude")]) element.addEventListener("change", refresh);
  $("user-query").addEventListener("input", findUsers);
  $("film-query").addEventListener("input", findFilms);
  $("random").addEventListener("click", async () => pick((await ask("users?k=1"))[0]));
  $("similar-model").addEventListener("change", findSimilar);
  $("close").addEventListener("click", () => $("similar").close());
  $("similar").addEventListener("click", (event) => { if (event.target === $("similar")) $("similar").close(); });
  const tabs = [$("tab-user"), $("tab-profile")];
  tabs.forEach((tab, i) => {
    tab.addEventListener("click", () => show(i === 1));
    tab.addEventListener("keydown", (event) => {
      if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
      tabs[1 - i].focus();
      show(i === 0);
    });
  });
  await pick((await ask("users?k=1"))[0]);
}
start().catch((error) => say($("summary"), error.message));

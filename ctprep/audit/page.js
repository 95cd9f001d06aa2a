// Keys, clicks and what is remembered. All text is in the page already; none is made here.
(() => {
  const at = (id) => document.getElementById(id);
  const articles = [...document.querySelectorAll(".report")];
  const reports = articles.map((article) => ({
    scanId: article.dataset.scan,
    text: article.dataset.text,
    flagged: article.dataset.flagged === "yes",
    sentences: [...article.querySelectorAll(".sentence")].map((row) => ({
      row, number: row.dataset.n, decided: row.dataset.decided,
    })),
  }));
  const { page, only } = document.body.dataset;
  const key = `ctprep-audit-${page}`;
  const store = { judge: "", judges: {} };
  let canStore = true;
  let unsaved = false;
  let place = 0;
  let chosen = 0;
  let since = null;

  function load() {
    try {
      const found = JSON.parse(localStorage.getItem(key));
      if (found && typeof found.judges === "object") Object.assign(store, found);
      localStorage.setItem(key, JSON.stringify(store));
    } catch {
      canStore = false;
    }
  }

  function keep() {
    unsaved = true;
    try {
      localStorage.setItem(key, JSON.stringify(store));
      canStore = true;
    } catch {
      canStore = false;
    }
  }

  const all = () => (store.judges[store.judge] ??= {});
  const given = (number) =>
    (all()[reports[number].scanId] ??= { done: false, seconds: 0, marks: {} });

  function tell(text) {
    at("notice").textContent = text || (canStore ? "" :
      "This browser keeps nothing: save the verdicts before you close the page.");
  }

  function count() {
    const now = Date.now();
    const said = given(place);
    if (since !== null && !said.done) said.seconds += Verdicts.spent(since, now);
    since = document.hidden ? null : now;
  }

  const shown = {
    all: () => true,
    open: (number) => !given(number).done,
    split: (number) => reports[number].sentences.some((s) => s.decided === "split"),
    flagged: (number) => reports[number].flagged,
    marked: (number) => Object.keys(given(number).marks).length > 0,
  };
  const isShown = (number) => shown[at("show").value](number);

  const words = { keep: "ought to be kept", drop: "ought to be dropped", unsure: "unsure" };
  const wrong = { keep: "wrongly dropped", drop: "wrongly kept", unsure: "unsure" };

  function paintReport(number) {
    const said = given(number);
    articles[number].classList.toggle("judged", said.done);
    for (const s of reports[number].sentences) {
      const mark = said.marks[s.number];
      s.row.classList.toggle("marked", mark !== undefined);
      s.row.querySelector(".verdict").textContent =
        mark === undefined ? "" : (s.decided === "split" ? words : wrong)[mark];
    }
  }

  function paint() {
    articles.forEach((article, number) => article.classList.toggle("current", number === place));
    paintReport(place);
    at("progress").textContent =
      `report ${place + 1}; ${Verdicts.progress(reports.length, all())}`;
  }

  function select(number, { scroll = true } = {}) {
    const rows = reports[place].sentences;
    if (!rows.length) return;
    chosen = Math.min(Math.max(0, number), rows.length - 1);
    rows.forEach((s, n) => { s.row.tabIndex = n === chosen ? 0 : -1; });
    rows[chosen].row.focus({ preventScroll: !scroll });
  }

  function go(number, sentence = 0) {
    count();
    place = number;
    paint();
    tell("");
    if (!sentence) scrollTo(0, 0);
    select(sentence, { scroll: Boolean(sentence) });
  }

  function step(by) {
    for (let n = place + by; n >= 0 && n < reports.length; n += by) {
      if (isShown(n)) return go(n);
    }
    tell(by > 0 ? "This is the last one shown." : "This is the first one shown.");
  }

  function mark(verdict) {
    count();
    const s = reports[place].sentences[chosen];
    if (!s) return;
    const said = given(place);
    const now = said.marks[s.number];
    const then = verdict
      ? Verdicts.choose(s.decided, now, verdict) : Verdicts.next(s.decided, now);
    if (then === undefined) delete said.marks[s.number];
    else said.marks[s.number] = then;
    if (Verdicts.unsettled(reports[place], said.marks).length) said.done = false;
    keep();
    paint();
    tell("");
  }

  function finish() {
    count();
    const said = given(place);
    const [first] = Verdicts.unsettled(reports[place], said.marks);
    if (first !== undefined) {
      select(reports[place].sentences.findIndex((s) => s.number === first));
      return tell(`The tables disagree about sentence ${first}: keep (k), drop (d) or unsure (u)?`);
    }
    said.done = true;
    keep();
    paintReport(place);
    const order = [...reports.keys()];
    const rest = [...order.slice(place + 1), ...order.slice(0, place)];
    const open = rest.find((n) => isShown(n) && !given(n).done);
    if (open !== undefined) return go(open);
    paint();
    tell("All that are shown are judged. Save the verdicts.");
  }

  function findDisagreement() {
    for (let ahead = 0; ahead <= reports.length; ahead += 1) {
      const number = (place + ahead) % reports.length;
      const sentence = reports[number].sentences.findIndex(
        (s, n) => s.decided === "split" && (ahead > 0 || n > chosen));
      if (sentence >= 0) return number === place ? select(sentence) : go(number, sentence);
    }
    tell("The tables disagree nowhere on this page.");
  }

  function save() {
    count();
    if (!store.judge) {
      at("judge").focus();
      return tell("Enter your initials first.");
    }
    const csv = Verdicts.toCsv(page, only, store.judge, reports, all());
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv], { type: "text/csv" }));
    link.download = `judgements-${page}-${store.judge}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    unsaved = false;
    tell("");
  }

  // Verdicts belong to initials: what was said before any were entered goes with the first.
  function rename() {
    count();
    const name = Verdicts.tidyInitials(at("judge").value);
    if (!store.judge && name && !store.judges[name]) {
      store.judges[name] = all();
      delete store.judges[""];
    }
    store.judge = at("judge").value = name;
    since = document.hidden ? null : Date.now();
    keep();
    articles.forEach((_, number) => paintReport(number));
    paint();
    tell("");
  }

  const keys = {
    ArrowDown: () => select(chosen + 1), ArrowUp: () => select(chosen - 1),
    ArrowRight: () => step(1), ArrowLeft: () => step(-1), n: () => step(1), p: () => step(-1),
    x: () => mark(), " ": () => mark(), k: () => mark("keep"), d: () => mark("drop"),
    u: () => mark("unsure"), g: findDisagreement, Enter: finish,
  };

  addEventListener("keydown", (event) => {
    const act = keys[event.key];
    const elsewhere = event.target.closest("input, select, button, summary");
    if (!act || elsewhere || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  });
  reports.forEach((report, number) => report.sentences.forEach((s, n) => {
    s.row.addEventListener("click", () => {
      // Who selects text to copy it does not judge.
      if (number !== place || String(getSelection())) return;
      select(n, { scroll: false });
      mark();
    });
  }));
  at("previous").addEventListener("click", () => step(-1));
  at("next").addEventListener("click", () => step(1));
  at("done").addEventListener("click", finish);
  at("save").addEventListener("click", save);
  at("judge").addEventListener("change", rename);
  at("show").addEventListener("change", () => {
    const first = reports.findIndex((_, number) => isShown(number));
    if (first < 0) tell("There is none to show.");
    else if (!isShown(place)) go(first);
  });
  document.addEventListener("visibilitychange", count);
  addEventListener("beforeprint", () => { at("about").open = true; });
  addEventListener("beforeunload", (event) => {
    if (unsaved && !canStore) event.preventDefault();
  });

  load();
  at("judge").value = store.judge;
  at("controls").hidden = false;
  document.body.classList.add("scripted");
  articles.forEach((_, number) => paintReport(number));
  const first = reports.findIndex((_, number) => !given(number).done);
  go(Math.max(0, first));
})();

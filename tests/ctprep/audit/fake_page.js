// As much of a browser as page.js touches: two reports, controls, storage, a clock.
const listeners = {};
const log = { csv: null, name: null };
let now = 1000;
Date.now = () => now;

class Element {
  constructor(dataset = {}, control = false) {
    Object.assign(this, { dataset, control, value: "", textContent: "", hidden: false });
    this.children = [];
    this.on = {};
    this.classes = new Set();
    this.classList = {
      add: (name) => this.classes.add(name),
      toggle: (name, is) => (is ? this.classes.add(name) : this.classes.delete(name)),
    };
  }
  addEventListener(type, act) { this.on[type] = act; }
  querySelectorAll() { return this.children; }
  querySelector() { return (this.verdict ??= new Element()); }
  focus() { document.activeElement = this; }
  closest() { return this.control ? this : null; }
  click() {
    if (this.download) log.name = this.download;
    else this.on.click();
  }
}

const controls = {};
const articles = REPORTS.map((report) => {
  const flagged = report.flagged ? "yes" : "no";
  const article = new Element({ scan: report.scanId, text: report.text, flagged });
  article.children = report.sentences.map((s) => new Element({ n: s.number, decided: s.decided }));
  return article;
});
globalThis.document = {
  hidden: false,
  body: new Element({ page: PAGE, only: "all" }),
  activeElement: null,
  getElementById: (id) => (controls[id] ??= new Element({}, true)),
  querySelectorAll: () => articles,
  createElement: () => new Element(),
  addEventListener: () => {},
};
document.getElementById("show").value = "all";
globalThis.addEventListener = (type, act) => { listeners[type] = act; };
globalThis.scrollTo = () => {};
globalThis.getSelection = () => "";
globalThis.Blob = class { constructor([text]) { log.csv = text; } };
URL.createObjectURL = () => "blob:";
URL.revokeObjectURL = () => {};
globalThis.setTimeout = () => {};
const memory = STORED === null ? {} : { ...STORED };
Object.defineProperty(globalThis, "localStorage", {
  get() {
    if (!CAN_STORE) throw new Error("refused");
    return {
      getItem: (key) => memory[key] ?? null,
      setItem: (key, text) => { memory[key] = text; },
    };
  },
});

// A step is a key, "wait:<seconds>", "click:<sentence>", "press:<control>", "show:<what>" or
// "name:<initials>".
function act(step) {
  const [what, given] = step.split(/:(.*)/s);
  const current = articles.find((article) => article.classes.has("current"));
  const acts = {
    wait: () => { now += Number(given) * 1000; },
    click: () => current.children[Number(given)].on.click(),
    press: () => controls[given].on.click(),
    show: () => { controls.show.value = given; controls.show.on.change(); },
    name: () => { controls.judge.value = given; controls.judge.on.change(); },
  };
  if (given !== undefined) return acts[what]();
  const target = document.activeElement ?? document.body;
  return listeners.keydown({ key: step, target, preventDefault() {} });
}

function look() {
  return {
    current: articles.findIndex((article) => article.classes.has("current")),
    verdicts: articles.map((a) => a.children.map((s) => s.querySelector().textContent)),
    judged: articles.map((a) => a.classes.has("judged")),
    focus: document.activeElement?.dataset.n ?? null,
    notice: controls.notice.textContent,
    progress: controls.progress.textContent,
    memory,
    ...log,
  };
}

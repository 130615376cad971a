/** Looking for faces: what is to be different, what matters, and the nearest faces. */

import { encode, search } from "./api.js";
import { welcome } from "./collection.js";
import { byId, debounced, Latest, make } from "./dom.js";
import { openDetails } from "./details.js";
import { LikeList } from "./like_list.js";
import { clearProblem, say, showProblem } from "./notices.js";
import { Preview } from "./preview.js";
import { canSearch, encodeQuestion, rerankable, searchQuestion } from "./query.js";
import { ResultGrid } from "./results.js";
import { adjustScale, preferScale } from "./scales.js";
import { SliderPanel } from "./sliders.js";
import { Limits } from "./limits.js";
import { count, percent } from "./words.js";

const SEARCH_MS = 180;
const ASKED = ["face", "space", "weight", "adjust", "prefer", "like", "where", "onePerPerson", "inFull"];

export class SearchTab {
  title = "Search";
  #state;
  #served;
  #latest = new Latest();
  #own = {};
  #result = null;

  constructor(state, served) {
    [this.#state, this.#served] = [state, served];
    const spaces = served.spaces.map((space) => space.name);
    this.sliders = new SliderPanel({
      title: "Attributes",
      scales: [adjustScale(() => this.#own), preferScale],
      onset: (kind, attribute, value) => state.set(kind, attribute, value),
      onreset: () => state.change({ adjust: {}, prefer: {} }),
    });
    this.likes = new LikeList(state, spaces);
    this.limits = new Limits(state, served);
    this.preview = new Preview(state, served);
    this.controls = make("div", { class: "stack" }, this.likes.element, this.sliders.element, this.limits.element);
    this.grid = new ResultGrid({ spaces, features: this.#transferring?.features ?? [] }, this.#handlers());
    this.welcome = welcome({
      title: "Start with a face",
      words: "Take one of these, or drop a picture anywhere. Then say what is to be different, and what matters.",
      examples: served.examples,
      onchoose: (id) => state.change({ face: { id } }),
    });
    this.summary = make("p", { class: "summary" });
    this.more = make("button", { type: "button", hidden: true, onclick: () => this.#more() }, "More faces");
    this.share = make(
      "button",
      { type: "button", class: "quiet", hidden: true, onclick: () => this.#share() },
      "Copy link",
    );
    this.head = make("div", { class: "row head" }, make("h2", {}, "Nearest faces"), this.summary, this.share);
    this.stage = make(
      "section",
      { "aria-label": "Nearest faces" },
      this.welcome,
      this.head,
      this.sliders.chips,
      this.grid.element,
      make("div", { class: "row" }, this.more),
    );
    this.soon = debounced(() => this.#search(), SEARCH_MS);
    state.addEventListener("change", ({ detail: { before } }) => this.#follow(before));
    this.#offer();
    this.#show();
    this.soon();
    this.#measure();
  }

  get #space() {
    const { spaces } = this.#served;
    return spaces.find((space) => space.name === this.#state.now.space) ?? spaces[0];
  }

  get #transferring() {
    return this.#served.methods.find(({ verbs }) => verbs.includes("transfer"));
  }

  #follow(before) {
    const { now } = this.#state;
    const changed = (name) => before[name] !== now[name];
    if (changed("space")) this.#offer();
    if (changed("space") || changed("face")) this.#measure();
    this.#show();
    if ([...ASKED, "tab"].some(changed)) this.soon();
  }

  #offer() {
    const { method, coordinates } = this.#space;
    const adjusted = this.#served.methods.find(({ name }) => name === method)?.attributes ?? [];
    const kinds = (attribute) => [
      ...(adjusted.includes(attribute) ? ["adjust"] : []),
      ...(coordinates.includes(attribute) ? ["prefer"] : []),
    ];
    this.sliders.offer([...new Set([...adjusted, ...coordinates])], kinds);
  }

  #show() {
    const { now } = this.#state;
    const isAsked = canSearch(now);
    this.sliders.show(now);
    this.sliders.element.hidden = !now.face || this.sliders.isEmpty;
    this.limits.element.hidden = !isAsked;
    this.welcome.hidden = isAsked;
    this.head.hidden = this.grid.element.hidden = this.share.hidden = !isAsked;
    this.more.hidden = !isAsked || !this.#result?.more;
  }

  /** How much the face itself has of each attribute: where sliders rest that are not set. */
  async #measure() {
    const { face } = this.#state.now;
    this.#own = {};
    if (!face) return;
    const told = await encode(encodeQuestion(face)).catch(() => null);
    if (face !== this.#state.now.face || !told) return;
    this.#own = told.intensities[this.#space.method] ?? {};
    this.sliders.show(this.#state.now);
  }

  async #search() {
    const query = this.#state.now;
    const isAsked = canSearch(query) && query.tab === "search";
    this.stage.classList.toggle("busy", isAsked);
    if (!isAsked) return this.#latest.stop();
    try {
      const result = await this.#latest.run((signal) => search(this.#question(query, 1), signal));
      if (!result) return;
      clearProblem("search");
      this.#result = result;
      this.grid.show(result.hits, query);
      this.#tell(result.hits.length);
      this.stage.classList.remove("stale");
    } catch (problem) {
      this.stage.classList.add("stale");
      this.summary.replaceChildren(this.grid.element.children.length ? "of the question before" : "");
      showProblem("search", problem, () => this.#search());
    }
    this.stage.classList.remove("busy");
    this.#show();
  }

  async #more() {
    const query = this.#state.now;
    this.more.disabled = true;
    try {
      const result = await this.#latest.run((signal) => search(this.#question(query, this.#result.page + 1), signal));
      if (!result) return;
      this.grid.append(result.hits, query);
      this.#result = result;
      this.#tell(this.grid.element.children.length);
    } catch (problem) {
      showProblem("search", problem, () => this.#more());
    } finally {
      this.more.disabled = false;
    }
    this.#show();
  }

  #question(query, page) {
    return searchQuestion(query, page, query.inFull ? rerankable(query, this.#served) : 0);
  }

  #tell(shown) {
    const { rows, covered, index_version: version } = this.#result;
    byId("version").textContent = version;
    const part =
      covered < 1 && make("span", { class: "badge warn" }, `only ${percent(covered)} of the collection answered`);
    const words = shown ? `${count(shown, "face", "faces")} of ${rows.toLocaleString("en")}` : "No face fits.";
    this.summary.replaceChildren(words, " ", howSure(this.#result), ...(part ? [" ", part] : []));
    say(`${this.summary.textContent}${shown ? `, the first is ${this.grid.element.firstChild.dataset.id}` : ""}`);
  }

  #handlers() {
    const state = this.#state;
    const onfind = (id) => state.change({ face: { id } });
    const onlike = (id, space) => {
      const others = state.now.like.filter((like) => like.id !== id || like.space !== space);
      state.change({ like: [...others, { id, space, weight: 1 }] });
      say(`Now also like the face ${id}`);
    };
    const ontake = (id, feature) => {
      const { take } = state.now;
      state.change({ tab: "transfer", take: { ...take, [feature]: { id, strength: this.#transferring.strength.usual } } });
      byId("stage").focus({ preventScroll: true });
    };
    const canEdit = this.#served.methods.some(({ verbs }) => verbs.includes("edit"));
    const onedit = canEdit ? (id) => state.change({ face: { id }, tab: "edit" }) : null;
    const onopen = (hit) =>
      openDetails(hit, {
        query: this.#state.now,
        wanted: this.#result.query.wanted,
        spaces: this.#served.spaces.map((space) => space.name),
        onfind,
        onlike,
        onedit,
      });
    return { onfind, onlike, ontake, onopen };
  }

  async #share() {
    const isCopied = await navigator.clipboard?.writeText(location.href).then(
      () => true,
      () => false,
    );
    const hasFile = Boolean(this.#state.now.face?.file);
    this.share.textContent = !isCopied
      ? "Copy it from the address bar"
      : hasFile
        ? "Copied, without the picture"
        : "Copied";
    say(this.share.textContent);
    setTimeout(() => {
      this.share.textContent = "Copy link";
    }, 2000);
  }
}

/** A badge that says what is certain of an answer. */
function howSure({ exact, recall, query: { rerank } }) {
  const badge = (words, title, kind = "") => make("span", { class: `badge ${kind}`.trim(), title }, words);
  if (exact) return badge("exact", "No face that may be found is nearer than these.", "good");
  if (!rerank) return badge(`about ${percent(recall)} found`, "Some nearer faces may be missing.");
  return badge(`first ${rerank} compared in full`, "These are the nearest by what is stored, in the order of all of it.");
}

/** Changing a face: before, after, and a file to keep. */

import { edit } from "./api.js";
import { BeforeAfter } from "./before_after.js";
import { welcome } from "./collection.js";
import { debounced, Latest, make } from "./dom.js";
import { clearProblem, say, showProblem } from "./notices.js";
import { editQuestion } from "./query.js";
import { editScale } from "./scales.js";
import { SliderPanel } from "./sliders.js";

const EDIT_MS = 90;

export class EditTab {
  title = "Edit";
  #state;
  #methods;
  #latest = new Latest();
  #before = null;

  constructor(state, served) {
    this.#state = state;
    this.#methods = served.methods.filter(({ verbs }) => verbs.includes("edit"));
    this.sliders = new SliderPanel({
      title: "Edits",
      scales: [editScale],
      onset: (kind, attribute, value) => state.set(kind, attribute, value),
      onreset: () => state.change({ edits: {} }),
    });
    this.controls = make("div", { class: "stack" }, this.#methodChoice(), this.sliders.element);
    this.welcome = welcome({
      title: "Choose a face to edit",
      examples: served.examples,
      onchoose: (id) => state.change({ face: { id } }),
    });
    this.view = new BeforeAfter({
      place: "edit",
      words: { before: "The face as the model draws it, unedited", after: "The edited face" },
      above: this.sliders.chips,
      draw: (format) => this.#edited(state.now.face, state.now.edits, format),
      name: () => `${state.now.face.id ?? state.now.face.name}_edited`,
    });
    this.stage = make("section", { "aria-label": "Edited face" }, this.welcome, this.view.element);
    this.soon = debounced(() => this.#draw(), EDIT_MS);
    state.addEventListener("change", ({ detail: { before } }) => this.#follow(before));
    this.#offer();
    this.#show();
    this.soon();
  }

  get #method() {
    return this.#methods.find(({ name }) => name === this.#state.now.method) ?? this.#methods[0];
  }

  #follow(before) {
    const { now } = this.#state;
    if (before.method !== now.method) this.#offer();
    this.#show();
    if (["face", "edits", "method", "tab"].some((name) => before[name] !== now[name])) this.soon();
  }

  #offer() {
    this.sliders.offer(this.#method.attributes, () => ["edits"]);
  }

  #show() {
    const { now } = this.#state;
    this.sliders.show(now);
    this.sliders.element.hidden = !now.face;
    this.welcome.hidden = Boolean(now.face);
    this.view.element.hidden = !now.face;
  }

  async #draw() {
    const { face, edits, tab } = this.#state.now;
    const isAsked = face !== null && tab === "edit";
    this.stage.classList.toggle("busy", isAsked);
    if (!isAsked) return this.#latest.stop();
    try {
      const drawn = await this.#latest.run(async (signal) => [
        await this.#unedited(face, signal),
        await this.#edited(face, edits, "png", signal),
      ]);
      if (!drawn) return;
      clearProblem("edit");
      this.view.show(...drawn);
      say("The face is drawn.");
    } catch (problem) {
      showProblem("edit", problem, () => this.#draw());
    }
    this.stage.classList.remove("busy");
  }

  /** Drawn once for a face and a method. */
  async #unedited(face, signal) {
    const method = this.#method.name;
    if (this.#before?.face !== face || this.#before.method !== method) {
      this.#before = { face, method, picture: await this.#edited(face, {}, "png", signal) };
    }
    return this.#before.picture;
  }

  #edited(face, edits, format, signal) {
    return edit(editQuestion(face, this.#method.name, { edits }, format), signal);
  }

  #methodChoice() {
    const options = this.#methods.map(({ name }) => make("option", { value: name }, name.replaceAll("_", " ")));
    const choice = make(
      "select",
      { id: "method", onchange: () => this.#state.change({ method: choice.value, edits: {} }) },
      options,
    );
    choice.value = this.#method.name;
    return make(
      "section",
      { class: "card", hidden: options.length < 2 },
      make("label", { for: "method" }, "Method"),
      choice,
    );
  }
}

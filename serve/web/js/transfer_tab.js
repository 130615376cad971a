/** A face with features of others. Shown where a method offers it. */

import { edit, transfer } from "./api.js";
import { BeforeAfter } from "./before_after.js";
import { openCollection, welcome } from "./collection.js";
import { debounced, Latest, make } from "./dom.js";
import { clearProblem, say, showProblem } from "./notices.js";
import { editQuestion, transferQuestion } from "./query.js";
import { TakeList } from "./take_list.js";

const TRANSFER_MS = 90;
const DRAWN = ["face", "take", "tab"];

export class TransferTab {
  title = "Transfer";
  #state;
  #method;
  #latest = new Latest();
  #before = null;

  constructor(state, served) {
    this.#state = state;
    this.#method = served.methods.find(({ verbs }) => verbs.includes("transfer"));
    this.takes = new TakeList(state, this.#method, (...taking) => openCollection(served.examples, ...taking));
    this.controls = this.takes.element;
    this.welcome = welcome({
      title: "Choose a face to change",
      examples: served.examples,
      onchoose: (id) => state.change({ face: { id } }),
    });
    this.view = new BeforeAfter({
      place: "transfer",
      words: { before: "The face as the model draws it, unchanged", after: "The face with the features of others" },
      above: make("p", { class: "hint" }, "Choose whose each feature is to be, and how much of it."),
      draw: (format) => this.#changed(format),
      name: () => `${state.now.face.id ?? state.now.face.name}_changed`,
    });
    this.stage = make("section", { "aria-label": "Face with features of others" }, this.welcome, this.view.element);
    this.soon = debounced(() => this.#draw(), TRANSFER_MS);
    state.addEventListener("change", ({ detail: { before } }) => this.#follow(before));
    this.#show();
    this.soon();
  }

  #follow(before) {
    this.#show();
    if (DRAWN.some((name) => before[name] !== this.#state.now[name])) this.soon();
  }

  #show() {
    const { face } = this.#state.now;
    this.welcome.hidden = Boolean(face);
    this.view.element.hidden = this.takes.element.hidden = !face;
  }

  async #draw() {
    const { face, tab } = this.#state.now;
    const isAsked = face !== null && tab === "transfer";
    this.stage.classList.toggle("busy", isAsked);
    if (!isAsked) return this.#latest.stop();
    try {
      const drawn = await this.#latest.run(async (signal) => [
        await this.#unchanged(face, signal),
        await this.#changed("png", signal),
      ]);
      if (!drawn) return;
      clearProblem("transfer");
      this.view.show(...drawn);
      say("The face is drawn.");
    } catch (problem) {
      showProblem("transfer", problem, () => this.#draw());
    }
    this.stage.classList.remove("busy");
  }

  /** Drawn once for a face. */
  async #unchanged(face, signal) {
    if (this.#before?.face !== face) {
      this.#before = { face, picture: await this.#own(face, "png", signal) };
    }
    return this.#before.picture;
  }

  #changed(format, signal) {
    const { face, take } = this.#state.now;
    if (!Object.keys(take).length) return this.#own(face, format, signal);
    return transfer(transferQuestion(face, this.#method.name, take, format), signal);
  }

  #own(face, format, signal) {
    return edit(editQuestion(face, this.#method.name, {}, format), signal);
  }
}

/** The stage of a tab that changes a face: before, after, and a file to keep. */

import { edit } from "./api.js";
import { BeforeAfter } from "./before_after.js";
import { welcome } from "./collection.js";
import { debounced, Latest, make } from "./dom.js";
import { clearProblem, say, showProblem } from "./notices.js";
import { editQuestion } from "./query.js";

const DRAW_MS = 90;

export class DrawnFace {
  #state;
  #tab;
  #asked;
  #method;
  #changed;
  #latest = new Latest();
  #before = null;

  /**
   * `tab`: its name; `title`: what to choose a face for; `words`: what it and its pictures are, {stage, before, after};
   * `above`: what stands over the pictures; `asked`: the parts of the query that change the face; `method()`: who draws
   * it; `changed(query, format, signal)`: the changed face, a Blob, or null where nothing is to change; `suffix`: of the
   * file.
   */
  constructor(state, served, { tab, title, words, above, asked, method, changed, suffix }) {
    [this.#state, this.#tab, this.#method, this.#changed] = [state, tab, method, changed];
    this.#asked = ["face", "tab", ...asked];
    this.welcome = welcome({ title, examples: served.examples, onchoose: (id) => state.change({ face: { id } }) });
    this.view = new BeforeAfter({
      place: tab,
      words,
      above,
      draw: (format) => this.#after(state.now, format),
      name: () => `${state.now.face.id ?? state.now.face.name}_${suffix}`,
    });
    this.element = make("section", { "aria-label": words.stage }, this.welcome, this.view.element);
    this.soon = debounced(() => this.#draw(), DRAW_MS);
    state.addEventListener("change", ({ detail: { before } }) => this.#follow(before));
    this.#show();
    this.soon();
  }

  #follow(before) {
    this.#show();
    if (this.#asked.some((name) => before[name] !== this.#state.now[name])) this.soon();
  }

  #show() {
    this.welcome.hidden = Boolean(this.#state.now.face);
    this.view.element.hidden = !this.#state.now.face;
  }

  async #draw() {
    const query = this.#state.now;
    const isAsked = query.face !== null && query.tab === this.#tab;
    this.element.classList.toggle("busy", isAsked);
    if (!isAsked) return this.#latest.stop();
    try {
      const drawn = await this.#latest.run(async (signal) => [
        await this.#unchanged(query.face, signal),
        await this.#after(query, "png", signal),
      ]);
      if (!drawn) return;
      clearProblem(this.#tab);
      this.view.show(...drawn);
      say("The face is drawn.");
    } catch (problem) {
      showProblem(this.#tab, problem, () => this.#draw());
    }
    this.element.classList.remove("busy");
  }

  /** Drawn once for a face and a method. */
  async #unchanged(face, signal) {
    const method = this.#method();
    if (this.#before?.face !== face || this.#before.method !== method) {
      this.#before = { face, method, picture: await this.#own(face, "png", signal) };
    }
    return this.#before.picture;
  }

  #after(query, format, signal) {
    return this.#changed(query, format, signal) ?? this.#own(query.face, format, signal);
  }

  #own(face, format, signal) {
    return edit(editQuestion(face, this.#method(), {}, format), signal);
  }
}

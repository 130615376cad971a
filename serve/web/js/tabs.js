/** One of several things to do, as tabs. Arrow keys go from one to the next. */

import { byId, make } from "./dom.js";

export class Tabs {
  #state;
  #tabs;
  #buttons;

  /** `tabs`: {title, controls, stage} by name. */
  constructor(state, tabs) {
    [this.#state, this.#tabs] = [state, tabs];
    this.#buttons = Object.fromEntries(
      Object.entries(tabs).map(([name, { title }]) => [name, this.#button(name, title)]),
    );
    byId("tabs").replaceChildren(...Object.values(this.#buttons));
    byId("panels").replaceChildren(...Object.values(tabs).map(({ controls }) => controls));
    byId("stages").replaceChildren(...Object.values(tabs).map(({ stage }) => stage));
    for (const [name, { stage }] of Object.entries(tabs)) {
      stage.id = `stage-${name}`;
      stage.setAttribute("role", "tabpanel");
    }
    state.addEventListener("change", ({ detail: { before } }) => before.tab !== state.now.tab && this.show());
    this.show();
  }

  show() {
    const chosen = this.#state.now.tab in this.#tabs ? this.#state.now.tab : Object.keys(this.#tabs)[0];
    for (const [name, { controls, stage }] of Object.entries(this.#tabs)) {
      controls.hidden = stage.hidden = name !== chosen;
      this.#buttons[name].setAttribute("aria-selected", name === chosen);
      this.#buttons[name].tabIndex = name === chosen ? 0 : -1;
    }
  }

  #button(name, title) {
    return make(
      "button",
      {
        type: "button",
        role: "tab",
        id: `tab-${name}`,
        "aria-controls": `stage-${name}`,
        onclick: () => this.#state.change({ tab: name }),
        onkeydown: (event) => this.#key(event, name),
      },
      title,
    );
  }

  #key(event, name) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const names = Object.keys(this.#tabs);
    const next = names[(names.indexOf(name) + step + names.length) % names.length];
    this.#state.change({ tab: next });
    this.#buttons[next].focus();
  }
}

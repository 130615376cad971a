/** Small words for making elements. */

/**
 * An element. Properties that are functions listen ("onclick"), true is an attribute without a value, false and null
 * are none. Text children are text, never markup.
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

/** The element with this id of index.html. */
export function byId(id) {
  return document.getElementById(id);
}

/** A card that folds; open where there is room. `more`: beside the title. */
export function folding(title, more, ...content) {
  return make(
    "details",
    { class: "card foldable", open: !isNarrow() },
    make("summary", {}, make("h2", {}, title), more),
    make("div", { class: "folded" }, content),
  );
}

/** Shows a Blob or what is at an address in an <img>. */
export function showPicture(image, source) {
  const address = source instanceof Blob ? URL.createObjectURL(source) : source;
  image.addEventListener("load", () => URL.revokeObjectURL(address), { once: true });
  image.src = address;
}

/** Calls `action` once, `ms` after the last of several calls. */
export function debounced(action, ms) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(action, ms, ...values);
  };
}

/** Runs one task at a time: a new one aborts the one before, whose end nobody hears of. */
export class Latest {
  #controller = new AbortController();

  /** @param {(signal: AbortSignal) => Promise<any>} task; @returns its result, or undefined if it was replaced. */
  async run(task) {
    this.#controller.abort();
    const controller = (this.#controller = new AbortController());
    try {
      const result = await task(controller.signal);
      return controller.signal.aborted ? undefined : result;
    } catch (error) {
      if (controller.signal.aborted) return undefined;
      throw error;
    }
  }

  stop() {
    this.#controller.abort();
  }
}

export const isNarrow = () => matchMedia("(max-width: 899px)").matches;
export const isStill = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

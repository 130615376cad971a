/** What the sliders' positions mean. */

const PREFERENCES = [0, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000];
const AS_USUAL = PREFERENCES.indexOf(1);
const EDIT_STEP = 0.1;
const EDIT_LIMIT = 3;
const STRENGTH_STEP = 0.05;
const STRENGTH_LIMIT = 2;

const clamped = (value, least, most) => Math.min(Math.max(value, least), most);

/** What an attribute is to be, from the least of all faces to the most. `own`: what the face has, by attribute. */
export const adjustScale = (own) => ({
  kind: "adjust",
  label: (name) => `${name}: look for`,
  steps: 100,
  position: (value) => Math.round(100 * value),
  value: (position) => position / 100,
  words: (value) => `look for ${Math.round(100 * value)} %`,
  unset: "as it is",
  rest: (attribute) => clamped(Math.round(100 * (own()[attribute] ?? 0.5)), 0, 100),
});

/** What it matters; steps grow by about three. */
export const preferScale = {
  kind: "prefer",
  label: (name) => `${name}: how much it matters`,
  steps: PREFERENCES.length - 1,
  position: (value) => {
    const distance = (step) => Math.abs(Math.log(step + 0.01) - Math.log(value + 0.01));
    return PREFERENCES.indexOf(PREFERENCES.reduce((best, step) => (distance(step) < distance(best) ? step : best)));
  },
  value: (position) => PREFERENCES[position],
  words: (value) => (value === 0 ? "do not care" : value === 1 ? "matters as usual" : `matters × ${value}`),
  unset: "matters as usual",
  rest: () => AS_USUAL,
};

/** How far an edit goes, in the method's own unit. */
export const editScale = {
  kind: "edits",
  label: (name) => `${name}: strength of the edit`,
  steps: (2 * EDIT_LIMIT) / EDIT_STEP,
  position: (value) => Math.round((clamped(value, -EDIT_LIMIT, EDIT_LIMIT) + EDIT_LIMIT) / EDIT_STEP),
  value: (position) => Number((position * EDIT_STEP - EDIT_LIMIT).toFixed(1)),
  words: (value) => (value > 0 ? "+" : value < 0 ? "−" : "") + Math.abs(value).toFixed(1),
  unset: "as it is",
  rest: () => EDIT_LIMIT / EDIT_STEP,
};

/** How much of another face's feature: 1 is all of it, more exaggerates. */
export const strengthScale = {
  steps: STRENGTH_LIMIT / STRENGTH_STEP,
  position: (value) => Math.round(clamped(value, 0, STRENGTH_LIMIT) / STRENGTH_STEP),
  value: (position) => Number((position * STRENGTH_STEP).toFixed(2)),
  words: (value) => `${Math.round(100 * value)} %`,
};

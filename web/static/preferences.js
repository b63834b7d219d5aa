// How this device shows things. What belongs to the person, such as mutes, is kept by the server.

/**
 * @typedef {{theme: 'system' | 'light' | 'dark', density: 'roomy' | 'compact', clock: 'auto' | '12' | '24', reading: 'channels' | 'everywhere' | 'hand', notify: 'none' | 'open' | 'push', words: 'yes' | 'no'}} Preferences
 *   reading says where looking at messages marks them as read; notify whether this device notifies while a tab is open, or always, and words whether
 *   that says what was written.
 */

/** @type {Preferences} */
const usual = { theme: 'system', density: 'roomy', clock: 'auto', reading: 'channels', notify: 'none', words: 'yes' };

/** @type {{[K in keyof Preferences]: Preferences[K][]}} */
const possible = {
  theme: ['system', 'light', 'dark'], density: ['roomy', 'compact'], clock: ['auto', '12', '24'], reading: ['channels', 'everywhere', 'hand'], notify: ['none', 'open', 'push'], words: ['yes', 'no'],
};

/** preferences reads what was chosen; what is not known here is as usual. @returns {Preferences} */
export function preferences() {
  /** @type {any} */
  let kept = null;
  try {
    kept = JSON.parse(localStorage.getItem('preferences') ?? '{}');
  } catch {
    // Somebody else's, or half written.
  }
  if (kept?.notify === 'mentions') kept.notify = 'open'; // as it was called before
  const p = /** @type {any} */ ({ ...usual });
  for (const [name, values] of Object.entries(possible)) {
    if (/** @type {string[]} */ (values).includes(kept?.[name])) p[name] = kept[name];
  }
  return p;
}

/** @template {keyof Preferences} K @param {K} name @param {Preferences[K]} value */
export function prefer(name, value) {
  localStorage.setItem('preferences', JSON.stringify({ ...preferences(), [name]: value }));
  apply();
}

/** apply puts what concerns looks onto the page. looks.js does the same before the first paint. */
export function apply() {
  const p = preferences();
  document.documentElement.dataset.theme = p.theme;
  document.documentElement.dataset.density = p.density;
}

// What somebody wants to be notified of: rules without a page. The server has the same for Web Push; testdata/notices.json holds both to them.

/**
 * @typedef {'all' | 'mentions' | 'nothing'} Level
 * @typedef {{from: string, to: string, zone: string}} Quiet
 * @typedef {{level: Level, keywords: boolean, quiet: Quiet | null, levels: {scope: string, level: Level}[]}} Prefs
 */

/**
 * levelOf is what holds for a channel.
 * @param {Prefs} prefs @param {(string | null | undefined)[]} places the channel, what it is in, what that is in, and its server
 * @returns {Level}
 */
export function levelOf(prefs, places) {
  for (const id of places) {
    const chosen = id && prefs.levels.find((l) => l.scope === id);
    if (chosen) return chosen.level;
  }
  return prefs.level;
}

/** quietNow tells whether nobody is to be disturbed at a time. @param {Quiet | null} quiet @param {number} now milliseconds since 1970 */
export function quietNow(quiet, now) {
  if (!quiet) return false;
  let clock;
  try {
    clock = new Intl.DateTimeFormat('en-GB', { timeZone: quiet.zone, hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(now);
  } catch {
    return false; // a zone that this browser does not know
  }
  return quiet.from < quiet.to ? clock >= quiet.from && clock < quiet.to : clock >= quiet.from || clock < quiet.to;
}

/** words are a text's words, in lower case. @param {string} text @returns {string[]} */
const words = (text) => text.toLowerCase().match(/[\p{L}\p{M}\p{N}]+/gu) ?? [];

/** holds tells whether a text has one of the keywords: whole words, a phrase with its words behind one another. @param {string[]} keywords @param {string} text */
export function holds(keywords, text) {
  const have = ' ' + words(text).join(' ') + ' ';
  return keywords.some((k) => {
    const want = words(k).join(' ');
    return want !== '' && have.includes(' ' + want + ' ');
  });
}

/** Discord's flag of messages that were sent with @silent. */
const silent = 1 << 12;

/**
 * reason is why a message is worth a notification, or '' when it is not.
 * @param {Prefs} prefs @param {string[]} keywords @param {{content: string, mentions_me: boolean, flags?: number, system?: string}} m of somebody else, who is not ignored
 * @param {{places: (string | null | undefined)[], muted: boolean, now: number}} where
 * @returns {'' | 'mention' | 'keyword' | 'all'}
 */
export function reason(prefs, keywords, m, { places, muted, now }) {
  const level = levelOf(prefs, places);
  if (level === 'nothing' || muted || (m.flags ?? 0) & silent || quietNow(prefs.quiet, now)) return '';
  if (m.mentions_me) return 'mention';
  if (prefs.keywords && holds(keywords, m.content)) return 'keyword';
  return level === 'all' && !m.system ? 'all' : '';
}

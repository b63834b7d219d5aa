// How far the list of messages has been told what happened. Counts follow deltas alone; the list needs the messages too, and these come only
// once the server knows what is watched: between the first frame of a connection and its watch, and while a page changes what it watches,
// a delta comes without its message. Whoever counts deltas does not notice. No page and no network.

/** Versions that are remembered beyond a hole, per channel; more than that is fetched anyway. */
const most = 300;

export class Heard {
  constructor() {
    /** Up to which version of each channel nothing is missing. @type {Map<string, number>} */
    this.whole = new Map();
    /** Versions beyond a hole. @type {Map<string, Set<number>>} */
    this.beyond = new Map();
  }

  /** fetched says that a list was fetched that holds whatever happened up to a version. @param {string} channel @param {number} version */
  fetched(channel, version) {
    if (version <= (this.whole.get(channel) ?? -1)) return;
    this.whole.set(channel, version);
    this.close(channel);
  }

  /**
   * heard says that the list was told what a version changed. It tells whether that was news.
   * @param {string} channel @param {number} version
   */
  heard(channel, version) {
    const whole = this.whole.get(channel);
    if (whole === undefined) return true;
    if (version <= whole) return false;
    const beyond = this.beyond.get(channel) ?? new Set();
    if (beyond.has(version)) return false;
    if (version !== whole + 1) {
      this.beyond.set(channel, beyond);
      if (beyond.size < most) beyond.add(version);
      return true;
    }
    this.whole.set(channel, version);
    this.close(channel);
    return true;
  }

  /** close goes on over what was heard beyond a hole. @param {string} channel */
  close(channel) {
    const beyond = this.beyond.get(channel);
    if (!beyond) return;
    let whole = this.whole.get(channel) ?? -1;
    while (beyond.delete(whole + 1)) whole++;
    for (const v of beyond) if (v <= whole) beyond.delete(v);
    if (!beyond.size) this.beyond.delete(channel);
    this.whole.set(channel, whole);
  }

  /** lacks tells whether the list was not told of something up to a version. @param {string} channel @param {number} version */
  lacks(channel, version) {
    return version > (this.whole.get(channel) ?? -1);
  }
}

/** Ids of deleted messages that are remembered. */
const mostGone = 2000;

/** Gone remembers what was deleted: a message that the server repeats after its delete stays away. */
export class Gone {
  constructor() {
    /** @type {Set<string>} */
    this.ids = new Set();
  }

  /** @param {string[]} ids */
  add(ids) {
    for (const id of ids) this.ids.add(id);
    for (const id of this.ids) {
      if (this.ids.size <= mostGone) break;
      this.ids.delete(id); // the one that has been here longest
    }
  }

  /** @param {string} id */
  has(id) {
    return this.ids.has(id);
  }
}

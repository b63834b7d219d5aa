// What drawing messages needs to know of the page.

import { first, nameOf, page } from './page.js';

/** context is that for this moment. @returns {import('./render/message.js').Context} */
export function context() {
  return {
    inFeed: page.view.kind !== 'channel', cdn: first.cdn, user: page.me, newFrom: page.newFrom, newLabel: page.newLabel, saved: page.saved, dated: false,
    nameOf, role: (id) => page.roles.get(id), guildName: (id) => page.state.guilds[id]?.name, isThread: (id) => [10, 11, 12].includes(page.state.channels[id]?.type ?? 0),
    roleIsMine: (guild, role) => page.state.guilds[guild]?.roles.includes(role) ?? false,
  };
}

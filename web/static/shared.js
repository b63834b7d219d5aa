// The worker that all tabs of a browser share. Its address holds the version of our files and its name the person, so that a page of another
// build, or somebody else's, has another one.

import { Tabs } from './tabs.js';
import { noticeJumps } from './wake.js';

/** @type {any} */
const scope = self;
const tabs = new Tabs({ url: scope.location.origin.replace(/^http/, 'ws') + '/api/live', user: scope.name });

scope.onconnect = (/** @type {MessageEvent} */ e) => {
  const port = e.ports[0];
  let id = '';
  port.onmessage = ({ data }) => {
    if (data.join) {
      id = data.join;
      tabs.join(id, (m) => port.postMessage(m));
      // A tab holds a lock as long as it lives: whoever gets it next knows that the tab has gone, however it went.
      scope.navigator.locks?.request('tidings-tab-' + id, { mode: 'shared' }, () => tabs.leave(id)).catch(() => {});
    } else tabs.hear(id, data);
  };
};

scope.addEventListener('online', () => tabs.live.wake());
noticeJumps(() => tabs.live.wake());

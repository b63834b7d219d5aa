// Prints how much is unread, after every change, until it is stopped. It needs Node 22, or Node 20 with --experimental-websocket; nothing else.
//
//   TOKEN=… node examples/live.mjs http://127.0.0.1:8080
//
// It keeps counts by the three rules of docs/LIVE.md: leave out what is known, apply what comes next, ask for the rest. web/static/live.js and state.js, which the page
// uses, also know mentions by role, who is ignored and what is muted.
const [address] = process.argv.slice(2);
const token = process.env.TOKEN;
if (!address || !token) {
  console.error('usage: TOKEN=… node live.mjs ADDRESS; tidings token create makes a token');
  process.exit(2);
}

const channels = new Map(); // id → {version, unread, read_id}
let me = '', cursor = '', first = '', attempts = 0;

function connect() {
  const url = address.replace(/^http/, 'ws') + '/api/live' + (cursor ? '?cursor=' + encodeURIComponent(cursor) : '');
  const ws = new WebSocket(url, { protocols: ['tidings.v1'], headers: { authorization: 'Bearer ' + token } });
  const sync = (...ids) => ws.send(JSON.stringify({ op: 'sync', channels: ids }));
  let beat;
  ws.onmessage = ({ data }) => {
    attempts = 0;
    for (const line of data.split('\n')) {
      const f = JSON.parse(line);
      if (f.op === 'hello') beat = setInterval(() => ws.send('{"op":"ping"}'), f.heartbeat_ms);
      apply(f, sync);
      if (['snapshot', 'delta', 'count', 'read', 'access'].includes(f.op)) {
        console.log(`${f.op}: ${[...channels.values()].reduce((n, c) => n + c.unread, 0)} unread`);
      }
    }
  };
  ws.onerror = () => {}; // a close follows
  ws.onclose = ({ code, reason }) => {
    clearInterval(beat);
    if ([4000, 4001, 4003].includes(code)) {
      console.error(`closed with ${code} ${reason}; connecting again would not help`);
      process.exit(1);
    }
    const told = /^retry_ms=(\d+)$/.exec(reason);
    setTimeout(connect, told ? Number(told[1]) : Math.random() * 1000 * 2 ** Math.min(attempts++, 5));
  };
}

function apply(f, sync) {
  switch (f.op) {
    case 'hello':
      me = f.user;
      if (f.resumed) cursor = f.cursor;
      else [cursor, first] = ['', f.cursor]; // it counts once the snapshot is here
      break;
    case 'snapshot':
      cursor = first;
      channels.clear();
      for (const g of f.unread.guilds) for (const c of g.channels) channels.set(c.id, { version: c.version, unread: c.unread, read_id: c.read_id });
      break;
    case 'delta': {
      const c = channels.get(f.c);
      if (!c || f.v <= c.version) break;
      if (f.v !== c.version + 1 || f.k === 'reset' || f.ids) {
        sync(f.c);
        break;
      }
      c.version = f.v;
      if (f.a !== me && BigInt(f.id) > BigInt(c.read_id ?? 0)) c.unread += f.n;
      break;
    }
    case 'count':
    case 'read':
      for (const x of f.channels ?? [f]) {
        const c = channels.get(x.c);
        if (!c) continue;
        if (x.v < c.version) sync(x.c);
        else Object.assign(c, { version: x.v, unread: x.unread, read_id: x.read_id });
      }
      break;
    case 'access':
      for (const id of f.lost) channels.delete(id);
      for (const id of f.gained) channels.set(id, { version: -1, unread: 0, read_id: null }); // a count follows
      cursor = f.cursor;
      break;
    case 'pong':
      cursor = f.cursor;
  }
}

connect();

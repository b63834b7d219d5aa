// A bot on discord.js that says what it hears, one JSON object a line, and does what it is told on standard input.
import { createInterface } from "node:readline";
import { Client, Events, GatewayIntentBits, Options, Partials } from "discord.js";

const [url, token] = process.argv.slice(2);
const say = (event, data = {}) => console.log(JSON.stringify({ event, ...data }));

const client = new Client({
  intents: [
    GatewayIntentBits.Guilds, GatewayIntentBits.GuildMembers, GatewayIntentBits.GuildMessages,
    GatewayIntentBits.GuildMessageReactions, GatewayIntentBits.MessageContent,
  ],
  partials: [Partials.Message, Partials.Channel, Partials.Reaction],
  rest: { api: url + "/api" },
  makeCache: Options.cacheEverything(),
});

client.on(Events.ClientReady, (c) => say("ready", { user: c.user.tag, guilds: c.guilds.cache.size }));
client.on(Events.GuildCreate, (g) => say("guild", { name: g.name }));
client.on(Events.GuildAvailable, (g) => say("available", { name: g.name }));
client.on(Events.GuildUnavailable, (g) => say("unavailable", { name: g.name }));
client.on(Events.MessageCreate, (m) => say("message", { id: m.id, content: m.content, author: m.author.username, type: m.type, nonce: m.nonce, components: m.components.length, snapshots: m.messageSnapshots.size }));
client.on(Events.MessageUpdate, (_, m) => say("edit", { id: m.id, content: m.content, embeds: m.embeds.length }));
client.on(Events.MessageDelete, (m) => say("delete", { id: m.id }));
client.on(Events.MessageBulkDelete, (ms) => say("bulk", { count: ms.size }));
client.on(Events.MessageReactionAdd, (r, u) => say("react", { emoji: r.emoji.name, user: u.id }));
client.on(Events.ThreadCreate, (t) => say("thread", { id: t.id, name: t.name }));
client.on(Events.ThreadUpdate, (_, t) => say("threadupdate", { id: t.id, archived: t.archived }));
client.on(Events.GuildMemberUpdate, (_, m) => say("member", { nick: m.nickname, roles: m.roles.cache.size }));
client.on(Events.ShardResume, (_, replayed) => say("resumed", { replayed }));
client.on(Events.ShardReady, () => say("shardready"));
client.on(Events.ShardDisconnect, (e) => say("disconnect", { code: e.code }));
client.on(Events.ShardReconnecting, () => say("reconnecting"));
client.on(Events.Error, (e) => say("error", { message: String(e) }));
client.on(Events.ShardError, (e) => say("error", { message: String(e) }));

createInterface({ input: process.stdin }).on("line", async (line) => {
  const { command, channel, content, guild } = JSON.parse(line);
  try {
    if (command === "history") {
      const ms = await (await client.channels.fetch(channel)).messages.fetch({ limit: 100 });
      say("history", { contents: [...ms.values()].map((m) => m.content) });
    } else if (command === "post") {
      const m = await (await client.channels.fetch(channel)).send(content);
      say("posted", { id: m.id });
    } else if (command === "members") {
      const ms = await (await client.guilds.fetch(guild)).members.fetch();
      say("members", { count: ms.size });
    } else if (command === "quit") {
      await client.destroy();
      process.exit(0);
    }
  } catch (e) {
    say("failed", { command, message: String(e) });
  }
});

await client.login(token);

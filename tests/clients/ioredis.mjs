// The conversation of test_clients.py by ioredis, or by iovalkey, which came out of it.
import { keep, library, PASSWORD, PORT, row, say, version } from "./talk.mjs";

const Redis = library.default;
const client = new Redis(PORT, { password: PASSWORD });
const other = new Redis(PORT, { password: PASSWORD });

async function pipeline() {
  const commands = client.pipeline();
  for (let i = 0; i < 1000; ++i) commands.incr("counter");
  const replies = await commands.get("counter").exec();
  return [replies[0], replies.at(-2), replies.at(-1)].map(([error, reply]) => error ?? reply);
}

async function transaction() {
  const multi = client.multi().incr("watched").append("word", "ab");
  const replies = await multi.call("KV.PUT", "clients", "in_multi", "FIELD", "n", "int64", "VALUES", 7).exec();
  return replies.map(([error, reply]) => error ?? reply);
}

async function watch() {
  await client.watch("watched");
  await other.incr("watched");
  return (await client.multi().incr("watched").exec()) ?? "aborted";
}

async function tensor(key) {
  const isNew = await client.call("KV.PUT", "clients", ...row(key));
  return [isNew, ...keep(key, await client.callBuffer("KV.MGET", "clients", "KEYS", 1, key, "FIELDS", 1, "x"))];
}

async function message() {
  const heard = new Promise((resolve) => other.once("message", (channel, text) => resolve(text)));
  await other.subscribe("news");
  const text = await heard;
  await other.unsubscribe("news");
  return text;
}

function cluster() {
  const nodes = new Redis.Cluster([{ host: "127.0.0.1", port: PORT }], {
    redisOptions: { password: PASSWORD },
    clusterRetryStrategy: null,
  });
  return new Promise((resolve) => nodes.once("error", (error) => resolve(error.lastNodeError.message)));
}

say({
  version,
  ping: await client.ping(),
  client: await client.client("INFO"),
  pipeline: await pipeline(),
  transaction: await transaction(),
  watch: await watch(),
  error: await client.call("KV.MGET", "nowhere", "KEYS", 1, "k").catch((error) => error.message),
  tensors: { small: await tensor("small"), large: await tensor("large") },
  message: await message(),
  cluster: await cluster(),
});
await client.quit();
await other.quit();
process.exit(); // ioredis 5's cluster client would keep it alive for 2 s

// The conversation of test_clients.py by node-redis.
import { keep, library, PASSWORD, PORT, row, say, version } from "./talk.mjs";

const { createClient, createCluster, commandOptions, RESP_TYPES, WatchError } = library;
const options = { url: `redis://127.0.0.1:${PORT}`, password: PASSWORD };

const [client, other] = await Promise.all([1, 2].map(() => createClient(options).connect()));
// How the versions say that bulk strings are to come as Buffers.
const buffers = RESP_TYPES
  ? { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } }
  : commandOptions({ returnBuffers: true });

async function pipeline() {
  const increments = Array.from({ length: 1000 }, () => client.incr("counter"));
  const replies = await Promise.all([...increments, client.get("counter")]);
  return [replies[0], replies.at(-2), replies.at(-1)];
}

function transaction() {
  const put = ["KV.PUT", "clients", "in_multi", "FIELD", "n", "int64", "VALUES", "7"];
  return client.multi().incr("watched").append("word", "ab").addCommand(put).exec();
}

async function watch() {
  await client.watch("watched");
  await other.incr("watched");
  return client.multi().incr("watched").exec().catch((error) => {
    if (error instanceof WatchError) return "aborted";
    throw error;
  });
}

async function tensor(key) {
  const isNew = await client.sendCommand(["KV.PUT", "clients", ...row(key)]);
  const reply = await client.sendCommand(["KV.MGET", "clients", "KEYS", "1", key, "FIELDS", "1", "x"], buffers);
  return [isNew, ...keep(key, reply)];
}

async function message() {
  let hear;
  const heard = new Promise((resolve) => (hear = resolve));
  await other.subscribe("news", hear);
  const text = await heard;
  await other.unsubscribe("news");
  return text;
}

// It only throws "All the root nodes are unavailable"; what the node said comes as an event before.
function cluster() {
  const nodes = createCluster({ rootNodes: [options], defaults: { password: PASSWORD } });
  const told = new Promise((resolve) => nodes.on("error", (error) => resolve(error.message)));
  return nodes.connect().then(() => null, () => told);
}

say({
  version,
  ping: await client.ping(),
  client: await client.sendCommand(["CLIENT", "INFO"]),
  pipeline: await pipeline(),
  transaction: await transaction(),
  watch: await watch(),
  error: await client.sendCommand(["KV.MGET", "nowhere", "KEYS", "1", "k"]).catch((error) => error.message),
  tensors: { small: await tensor("small"), large: await tensor("large") },
  message: await message(),
  cluster: await cluster(),
});
await Promise.all([client.quit(), other.quit()]);

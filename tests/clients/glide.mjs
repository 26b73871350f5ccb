// The conversation of test_clients.py by valkey-glide: Node around a core written in Rust.
import { keep, library, PASSWORD, PORT, row, say, version } from "./talk.mjs";

const { Batch, Decoder, GlideClient, GlideClusterClient, Logger } = library;
Logger.setLoggerConfig("off");
const options = {
  addresses: [{ host: "127.0.0.1", port: PORT }],
  credentials: PASSWORD && { password: PASSWORD },
  requestTimeout: 60000,
};
const client = await GlideClient.createClient(options);
const other = await GlideClient.createClient(options);

async function pipeline() {
  const batch = new Batch(false);
  for (let i = 0; i < 1000; ++i) batch.incr("counter");
  const replies = await client.exec(batch.get("counter"), true);
  return [replies[0], replies.at(-2), replies.at(-1)];
}

function transaction() {
  const put = ["KV.PUT", "clients", "in_multi", "FIELD", "n", "int64", "VALUES", "7"];
  return client.exec(new Batch(true).incr("watched").append("word", "ab").customCommand(put), true);
}

async function watch() {
  await client.watch(["watched"]);
  await other.incr("watched");
  return (await client.exec(new Batch(true).incr("watched"), true)) ?? "aborted";
}

async function tensor(key) {
  const isNew = await client.customCommand(["KV.PUT", "clients", ...row(key)]);
  const words = ["KV.MGET", "clients", "KEYS", "1", key, "FIELDS", "1", "x"];
  return [isNew, ...keep(key, await client.customCommand(words, { decoder: Decoder.Bytes }))];
}

async function message() {
  const { Exact } = library.GlideClientConfiguration.PubSubChannelModes;
  const listener = await GlideClient.createClient({
    ...options,
    pubsubSubscriptions: { channelsAndPatterns: { [Exact]: new Set(["news"]) } },
  });
  const { message } = await listener.getPubSubMessage();
  listener.close();
  return message;
}

function cluster() {
  const patient = { ...options, advancedConfiguration: { connectionTimeout: 20000 } };
  return GlideClusterClient.createClient(patient).catch((error) => error.message);
}

say({
  version,
  ping: await client.ping(),
  client: await client.customCommand(["CLIENT", "INFO"]),
  pipeline: await pipeline(),
  transaction: await transaction(),
  watch: await watch(),
  error: await client.customCommand(["KV.MGET", "nowhere", "KEYS", "1", "k"]).catch((error) => error.message),
  tensors: { small: await tensor("small"), large: await tensor("large") },
  message: await message(),
  cluster: await cluster(),
});
client.close();
other.close();

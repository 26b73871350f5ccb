// Lets the n-th allocation of every command fail, n = 1 to the end: each time the answer is one OOM
// error (or the end of the connection), and nothing is half done.
#include <algorithm>
#include <map>

#include <catch2/catch.hpp>

#include "server/command_table.h"
#include "store/safetensors.h"
#include "tests/support/failing_new.h"
#include "tests/support/resp_decoder.h"
#include "tests/support/test_server.h"

namespace sluice::server {
namespace {

using Words = std::vector<std::string>;

const std::string kLarge(20000, 'L');
const std::string kIndexes("\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);  // 1, 0
const std::string kShapes("\2\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0", 16);   // 2, 3
const std::string kDict("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);     // 0, 0

const std::string kTask("a-task-whose-name-does-not-fit-in-place");

// A column of two rows of 10,000 bytes.
std::string SafetensorsFile() {
  const std::vector<store::SafetensorsTensor> tensors = {
      {.name = "file", .dtype = store::DType::kUint8, .shape = {2, 10000}, .bytes = 20000}};
  return store::SafetensorsHeader(tensors, {}) + kLarge;
}

// Requests by the command they run. A command of the table without one fails the test.
const std::multimap<std::string, Words>& Requests() {
  static const std::multimap<std::string, Words> kRequests = {
      {"ping", {"PING", "hello"}},
      {"echo", {"ECHO", kLarge}},
      {"hello", {"HELLO", "3", "SETNAME", "a-name-that-does-not-fit-in-place"}},
      {"quit", {"QUIT"}},
      {"reset", {"RESET"}},
      {"select", {"SELECT", "0"}},
      {"client|id", {"CLIENT", "ID"}},
      {"client|getname", {"CLIENT", "GETNAME"}},
      {"client|setname", {"CLIENT", "SETNAME", "a-name-that-does-not-fit-in-place"}},
      {"client|setinfo", {"CLIENT", "SETINFO", "LIB-NAME", "a-name-that-does-not-fit-in-place"}},
      {"client|no-evict", {"CLIENT", "NO-EVICT", "ON"}},
      {"client|no-touch", {"CLIENT", "NO-TOUCH", "ON"}},
      {"client|reply", {"CLIENT", "REPLY", "ON"}},
      {"client|unblock", {"CLIENT", "UNBLOCK", "1", "ERROR"}},
      {"client|pause", {"CLIENT", "PAUSE", "0"}},
      {"client|unpause", {"CLIENT", "UNPAUSE"}},
      {"client|getredir", {"CLIENT", "GETREDIR"}},
      {"client|tracking", {"CLIENT", "TRACKING", "OFF"}},
      {"client|trackinginfo", {"CLIENT", "TRACKINGINFO"}},
      {"client|list", {"CLIENT", "LIST", "TYPE", "normal"}},
      {"client|info", {"CLIENT", "INFO"}},
      {"client|kill", {"CLIENT", "KILL", "TYPE", "pubsub"}},
      {"auth", {"AUTH", "default", "a-password-that-does-not-fit-in-place"}},
      {"subscribe", {"SUBSCRIBE", "a-channel-that-does-not-fit-in-place"}},
      {"unsubscribe", {"UNSUBSCRIBE", "a-channel-that-does-not-fit-in-place"}},
      {"psubscribe", {"PSUBSCRIBE", "a-pattern-that-does-not-fit-in-place*"}},
      {"punsubscribe", {"PUNSUBSCRIBE"}},
      {"ssubscribe", {"SSUBSCRIBE", "a-channel-that-does-not-fit-in-place"}},
      {"sunsubscribe", {"SUNSUBSCRIBE"}},
      {"publish", {"PUBLISH", "a-channel-that-does-not-fit-in-place", kLarge}},
      {"spublish", {"SPUBLISH", "a-channel-that-does-not-fit-in-place", "hello"}},
      {"pubsub|channels", {"PUBSUB", "CHANNELS", "*"}},
      {"pubsub|numsub", {"PUBSUB", "NUMSUB", "a", "b"}},
      {"pubsub|numpat", {"PUBSUB", "NUMPAT"}},
      {"pubsub|shardchannels", {"PUBSUB", "SHARDCHANNELS"}},
      {"pubsub|shardnumsub", {"PUBSUB", "SHARDNUMSUB", "a"}},
      {"multi", {"MULTI"}},
      {"exec", {"EXEC"}},
      {"discard", {"DISCARD"}},
      {"watch", {"WATCH", "a-name-that-does-not-fit-in-place"}},
      {"unwatch", {"UNWATCH"}},
      {"slowlog|get", {"SLOWLOG", "GET", "-1"}},
      {"slowlog|len", {"SLOWLOG", "LEN"}},
      {"slowlog|reset", {"SLOWLOG", "RESET"}},
      {"latency|latest", {"LATENCY", "LATEST"}},
      {"latency|history", {"LATENCY", "HISTORY", "command"}},
      {"latency|reset", {"LATENCY", "RESET"}},
      {"latency|doctor", {"LATENCY", "DOCTOR"}},
      {"latency|histogram", {"LATENCY", "HISTOGRAM"}},
      {"monitor", {"MONITOR"}},
      {"role", {"ROLE"}},
      {"time", {"TIME"}},
      {"lastsave", {"LASTSAVE"}},
      {"wait", {"WAIT", "0", "100"}},
      {"module|list", {"MODULE", "LIST"}},
      {"acl|whoami", {"ACL", "WHOAMI"}},
      {"acl|users", {"ACL", "USERS"}},
      {"acl|list", {"ACL", "LIST"}},
      {"acl|cat", {"ACL", "CAT"}},
      {"acl|cat", {"ACL", "CAT", "string"}},
      {"cluster", {"CLUSTER", "SLOTS"}},
      {"readonly", {"READONLY"}},
      {"readwrite", {"READWRITE"}},
      {"asking", {"ASKING"}},
      {"config|resetstat", {"CONFIG", "RESETSTAT"}},
      {"config|rewrite", {"CONFIG", "REWRITE"}},
      {"command|help", {"COMMAND", "HELP"}},
      {"command", {"COMMAND"}},
      {"command|count", {"COMMAND", "COUNT"}},
      {"command|list", {"COMMAND", "LIST"}},
      {"command|info", {"COMMAND", "INFO", "get", "nosuch"}},
      {"command|docs", {"COMMAND", "DOCS"}},
      {"command|getkeys", {"COMMAND", "GETKEYS", "SET", "a", "b"}},
      {"info", {"INFO", "all"}},
      {"config|get", {"CONFIG", "GET", "*"}},
      {"config|set",
       {"CONFIG", "SET", "timeout", "7", "client-output-buffer-limit", "normal 64mb 2mb 5",
        "maxclients", "77", "loglevel", "warning"}},
      {"config|set", {"CONFIG", "SET", "timeout", "7", "maxclients", "none"}},
      {"memory|stats", {"MEMORY", "STATS"}},
      {"memory|doctor", {"MEMORY", "DOCTOR"}},
      {"memory|purge", {"MEMORY", "PURGE"}},
      {"dbsize", {"DBSIZE"}},
      {"flushall", {"FLUSHALL"}},
      {"shutdown", {"SHUTDOWN", "SAVE"}},
      {"shutdown", {"SHUTDOWN", "NOSAVE"}},
      {"set", {"SET", "new", "a value that does not fit in place at all"}},
      {"set", {"SET", "string", kLarge}},
      {"set", {"SET", "train", "no: a partition"}},
      {"set", {"SET", "large", kLarge, "XX", "GET", "EX", "100"}},
      {"set", {"SET", "new", "v", "NX", "PXAT", "1800000000000"}},
      {"setnx", {"SETNX", "new", kLarge}},
      {"setex", {"SETEX", "string", "10", "a value that does not fit in place at all"}},
      {"psetex", {"PSETEX", "new", "10000", "v"}},
      {"getset", {"GETSET", "large", "v"}},
      {"getdel", {"GETDEL", "large"}},
      {"getex", {"GETEX", "large", "EX", "100"}},
      {"mget", {"MGET", "string", "large", "train", "nosuch"}},
      {"mset", {"MSET", "string", "v", "new", kLarge, "large", "w", "new", "x"}},
      {"mset", {"MSET", "new", "v", "train", "no: a partition"}},
      {"msetnx", {"MSETNX", "new", "v", "other", kLarge}},
      {"strlen", {"STRLEN", "string"}},
      {"getrange", {"GETRANGE", "large", "1", "-2"}},
      {"append", {"APPEND", "string", " and more, which does not fit in place"}},
      {"append", {"APPEND", "large", "more"}},
      {"setrange", {"SETRANGE", "large", "19990", "a long end of what is large"}},
      {"setrange", {"SETRANGE", "new", "30000", "v"}},
      {"incr", {"INCR", "new"}},
      {"incr", {"INCR", "string"}},
      {"decr", {"DECR", "new"}},
      {"incrby", {"INCRBY", "new", "5"}},
      {"decrby", {"DECRBY", "new", "5"}},
      {"type", {"TYPE", "train"}},
      {"exists", {"EXISTS", "train", "string", "nosuch"}},
      {"touch", {"TOUCH", "train", "nosuch"}},
      {"del", {"DEL", "train", "string", "nosuch"}},
      {"unlink", {"UNLINK", "large"}},
      {"randomkey", {"RANDOMKEY"}},
      {"keys", {"KEYS", "*"}},
      {"scan", {"SCAN", "0", "MATCH", "*a*", "COUNT", "100"}},
      {"object|encoding", {"OBJECT", "ENCODING", "string"}},
      {"object|freq", {"OBJECT", "FREQ", "string"}},
      {"object|idletime", {"OBJECT", "IDLETIME", "string"}},
      {"object|refcount", {"OBJECT", "REFCOUNT", "string"}},
      {"memory|usage", {"MEMORY", "USAGE", "train"}},
      {"expire", {"EXPIRE", "train", "100"}},
      {"expire", {"EXPIRE", "train", "-1"}},
      {"expire", {"EXPIRE", "train", "100", "NX", "GT"}},
      {"pexpire", {"PEXPIRE", "string", "100000", "NX"}},
      {"expireat", {"EXPIREAT", "string", "1800000000"}},
      {"pexpireat", {"PEXPIREAT", "string", "1800000000000"}},
      {"persist", {"PERSIST", "string"}},
      {"ttl", {"TTL", "string"}},
      {"pttl", {"PTTL", "string"}},
      {"expiretime", {"EXPIRETIME", "string"}},
      {"pexpiretime", {"PEXPIRETIME", "string"}},
      {"flushdb", {"FLUSHDB"}},
      {"ai.tensorset", {"AI.TENSORSET", "t", "INT64", "2", "VALUES", "5", "6"}},
      {"ai.tensorset", {"AI.TENSORSET", "t", "FLOAT", "5000", "BLOB", kLarge}},
      {"ai.tensorset", {"AI.TENSORSET", "new", "FLOAT", "5000"}},
      {"ai.tensorset", {"AI.TENSORSET", "new", "STRING", "2", "VALUES", "one", "two"}},
      {"ai.tensorget", {"AI.TENSORGET", "t"}},
      {"ai.tensorget", {"AI.TENSORGET", "t", "META", "VALUES"}},
      {"get", {"GET", "string"}},
      {"get", {"GET", "large"}},
      {"kv.put",
       {"KV.PUT", "train", "k9", "TAG", R"({"a":{"b":[1,2.5,"x"]}})", "FIELD", "ids", "int64", "2",
        "VALUES", "1", "2", "FIELD", "new", "utf8", "BLOB", kLarge}},
      {"kv.put", {"KV.PUT", "fresh", "k", "FIELD", "ids", "float32", "VALUES", "0.5"}},
      {"kv.put",
       {"KV.PUT", "train", "k0", "TAG", R"({"a":null,"z":1})", "FIELD", "ids", "int64", "3",
        "VALUES", "1", "2", "3"}},
      {"kv.put", {"KV.PUT", "train", "k1", "FIELD", "text", "SAME", "k0"}},
      {"kv.put", {"KV.PUT", "train", "k1", "FIELD", "ids", "int32", "VALUES", "1"}},
      {"kv.mput", {"KV.MPUT", "train",      "NEW",
                   "3",       "TAGS",       "3",
                   "{}",      R"({"a":1})", "{}",
                   "COLUMN",  "ids",        "int64",
                   "1",       "BLOB",       std::string(24, 'i'),
                   "COLUMN",  "more",       "uint8",
                   "7000",    "BLOB",       std::string(21000, 'm')}},
      {"kv.mput",
       {"KV.MPUT", "train", "ROWS", kIndexes, "COLUMN", "text", "utf8", "SHAPES", "1", kShapes,
        "BLOB", "aabbb"}},
      {"kv.mput", {"KV.MPUT", "other", "NEW", "9000"}},
      {"kv.mput",
       {"KV.MPUT", "other", "KEYS", "2", "a", "b", "COLUMN", "x", "uint8", "4", "DICT", kDict,
        "BLOB", "abcd"}},
      {"kv.mget", {"KV.MGET", "train", "KEYS", "2", "k0", "k1", "FORMAT", "columns", "DICT"}},
      {"kv.mget", {"KV.MGET", "train", "ROWS", kIndexes, "FORMAT", "rows"}},
      {"kv.mget", {"KV.MGET", "train", "KEYS", "1", "k0", "FORMAT", "values"}},
      {"kv.mget", {"KV.MGET", "train", "KEYS", "1", "nope"}},
      {"kv.tags", {"KV.TAGS", "train", "KEYS", "3", "k0", "k1", "nope"}},
      {"kv.clear", {"KV.CLEAR", "train", "KEYS", "1", "k1"}},
      {"kv.clear", {"KV.CLEAR", "train", "KEYS", "2", "k0", "k1", "FIELDS", "1", "text"}},
      {"kv.clear", {"KV.CLEAR", "train"}},
      {"kv.clear", {"KV.CLEAR", "train", "KEYS", "LINES", "k0\nnope\n"}},
      {"kv.clear", {"KV.CLEAR", "train", "WHERE", "1", "a", "=", "1"}},
      {"kv.mput", {"KV.MPUT", "train", "KEYS", "2", "k0", "k9", "SAFETENSORS", SafetensorsFile()}},
      {"kv.append",
       {"KV.APPEND", "train", "k9", "MORE", "FIELD", "ids", "int64", "1", "BLOB", "12345678"}},
      {"kv.append",
       {"KV.APPEND", "train", "k1", "FIELD", "ids", "int64", "2000", "BLOB",
        std::string(16000, 'a')}},
      {"kv.append", {"KV.APPEND", "train", "k1", "FIELD", "text", "utf8", "BLOB", kLarge}},
      {"kv.fields", {"KV.FIELDS", "train"}},
      {"kv.fields", {"KV.FIELDS", "train", "WHERE", "1", "a", "<=", "1"}},
      {"kv.list", {"KV.LIST"}},
      {"kv.list", {"KV.LIST", "train", "MATCH", "k*", "WHERE", "1", "a", "IN", R"([1,"x"])"}},
      {"kv.list", {"KV.LIST", "train", "FIELDS", "1", "ids", "FORMAT", "lines"}},
      {"kv.scan", {"KV.SCAN", "train", "0", "COUNT", "1"}},
      {"kv.changes", {"KV.CHANGES", "train", "4"}},
      {"kv.wait", {"KV.WAIT", "train", "KEYS", "1", "k0", "FIELDS", "1", "ids", "TIMEOUT", "5"}},
      {"kv.wait",
       {"KV.WAIT", "train", "KEYS", "2", "k0", "nope", "FIELDS", "1", "ids", "TIMEOUT", "5"}},
      {"kv.show", {"KV.SHOW", "train", "k0"}},
      {"kv.mget", {"KV.MGET", "train", "WHERE", "1", "a", "=", "1", "FORMAT", "safetensors"}},
      {"kv.mget",
       {"KV.MGET", "train", "KEYS", "2", "k0", "k1", "FIELDS", "1", "ids", "PAD", "left", "-1"}},
      {"kv.put", {"KV.PUT", "full", "k", "BLOCK", "5", "FIELD", "x", "utf8", "BLOB", kLarge}},
      {"task.fetch", {"TASK.FETCH", "stream", "t", "FIELDS", "1", "x", "COUNT", "2"}},
      {"task.fetch",
       {"TASK.FETCH", "stream", kTask, "FIELDS", "1", "x", "COUNT", "2", "LEASE", "9000", "BOUND",
        "FORMAT", "columns"}},
      {"task.fetch", {"TASK.FETCH", "stream", kTask,   "FIELDS", "1", "x",       "COUNT",
                      "2",          "RANK",   "0",     "STEP",   "7", "SAMPLER", "random",
                      "SEED",       "1",      "WHERE", "1",      "w", ">",       "0"}},
      {"task.fetch",
       {"TASK.FETCH", "stream", "t", "FIELDS", "1", "x", "COUNT", "1", "RANK", "0", "STEP", "0",
        "LEASE", "9000", "FORMAT", "rows"}},
      {"task.fetch", {"TASK.FETCH", "stream",   kTask,   "FIELDS", "1",     "x",   "COUNT",  "2",
                      "SAMPLER",    "balanced", "RANKS", "2",      "SIZE",  "2",   "WEIGHT", "w",
                      "RANK",       "1",        "STEP",  "0",      "LEASE", "9000"}},
      {"task.fetch",
       {"TASK.FETCH", "stream", kTask, "FIELDS", "1", "x", "COUNT", "2", "SAMPLER", "group", "SIZE",
        "2", "BY", "u"}},
      {"task.fetch",
       {"TASK.FETCH", "stream", kTask, "FIELDS", "1", "x", "COUNT", "2", "SAMPLER", "priority",
        "WEIGHT", "w", "SEED", "5", "KEEP"}},
      {"task.fetch",
       {"TASK.FETCH", "stream", kTask, "FIELDS", "1", "x", "COUNT", "1", "SAMPLER", "nosuch"}},
      {"task.fetch",
       {"TASK.FETCH", "stream", "t", "FIELDS", "1", "x", "COUNT", "9", "MIN", "1", "BLOCK", "5",
        "LEASE", "9000", "RANK", "0", "STEP", "9"}},
      {"task.fetch",
       {"TASK.FETCH", "a-partition-that-does-not-exist", "t", "FIELDS", "1", "x", "COUNT", "1",
        "BLOCK", "5"}},
      {"task.fetch", {"TASK.FETCH", "evict", "t", "FIELDS", "1", "x", "COUNT", "2"}},
      {"task.explain",
       {"TASK.EXPLAIN", "stream", kTask, "FIELDS", "1", "x", "COUNT", "9", "SAMPLER", "group",
        "SIZE", "4", "WHERE", "1", "w", ">", "1"}},
      {"task.ack", {"TASK.ACK", "stream", "t", "KEYS", "3", "a", "b", "c"}},
      {"task.ack", {"TASK.ACK", "stream", "t", "ROWS", kIndexes, "LEASE", "1"}},
      {"task.ack", {"TASK.ACK", "evict", "t", "WHERE", "1", "w", ">", "0"}},
      {"task.renew", {"TASK.RENEW", "stream", "t", "LEASE", "1", "70000"}},
      {"task.release", {"TASK.RELEASE", "stream", "t", "KEYS", "2", "a", "b"}},
      {"task.release", {"TASK.RELEASE", "stream", "t", "ROWS", kIndexes, "LEASE", "1"}},
      {"task.status", {"TASK.STATUS", "stream", "t", "FIELDS", "1", "other", "BITMAP"}},
      {"task.ready",
       {"TASK.READY", "stream", kTask, "FIELDS", "1", "x", "WHERE", "1", "w", "<", "3"}},
      {"task.claim", {"TASK.CLAIM", "stream", kTask, "KEYS", "2", "a", "nope", "FIELDS", "1", "x"}},
      {"task.claim",
       {"TASK.CLAIM", "stream", "t", "ROWS", kIndexes, "FIELDS", "1", "x", "LEASE", "9000",
        "BOUND"}},
      {"task.claim", {"TASK.CLAIM", "evict", "t", "KEYS", "1", "b", "FIELDS", "1", "x", "ALL"}},
      {"task.reset", {"TASK.RESET", "stream"}},
      {"task.reset", {"TASK.RESET", "stream", "t"}},
      {"task.list", {"TASK.LIST", "stream"}},
      {"partition.create", {"PARTITION.CREATE", "fresh", "TASKS", "2", "t", kTask, "EXPECT", "9"}},
      {"partition.create",
       {"PARTITION.CREATE", "stream", "MAXROWS", "9", "MAXBYTES", "90000", "FIELD",
        "a-field-of-a-schema", "int64", "-1", "3", "STRICT", "TASKS", "2", "t", kTask, "TTL",
        "90000"}},
      {"partition.create", {"PARTITION.CREATE", "stream", "TASKS", "1", "t", "AUTOEVICT"}},
      {"partition.list", {"PARTITION.LIST"}},
      {"partition.info", {"PARTITION.INFO", "stream"}},
      {"partition.ready", {"PARTITION.READY", "stream", "FIELDS", "1", "x"}},
      {"partition.evict", {"PARTITION.EVICT", "stream", "t"}},
      {"", {"NOSUCH", "a-name-that-does-not-fit-in-place"}},
      {"", {"GET", "string", kLarge}},
  };
  return kRequests;
}

void Populate(tests::TestClient& client) {
  client.Run({"SET", "string", "value"});
  client.Run({"SET", "large", kLarge});
  client.Run({"KV.PUT", "train", "k0", "TAG", R"({"a":1})", "FIELD", "ids", "int64", "2", "VALUES",
              "1", "2", "FIELD", "text", "utf8", "BLOB", "hi"});
  client.Run({"KV.PUT", "train", "k1", "FIELD", "ids", "int64", "2", "VALUES", "3", "4", "FIELD",
              "text", "utf8", "BLOB", kLarge});
  client.Run({"AI.TENSORSET", "t", "DOUBLE", "2", "VALUES", "1", "2"});
  for (const char* const partition : {"stream", "evict"}) {
    client.Run({"KV.MPUT",
                partition,
                "KEYS",
                "6",
                "a",
                "b",
                "c",
                "d",
                "e",
                "f",
                "TAGS",
                "6",
                R"({"w":1,"u":"p"})",
                R"({"w":2,"u":"p"})",
                R"({"w":3,"u":"q"})",
                R"({"w":4})",
                R"({"w":5})",
                R"({"w":6,"u":"q"})",
                "COLUMN",
                "x",
                "uint8",
                "2",
                "BLOB",
                "aabbccddeeff"});
    // a row consumed, and step 0 of rank 0; a row lent
    client.Run(
        {"TASK.FETCH", partition, "t", "FIELDS", "1", "x", "COUNT", "1", "RANK", "0", "STEP", "0"});
    client.Run({"TASK.FETCH", partition, "t", "FIELDS", "1", "x", "COUNT", "1", "LEASE", "60000"});
  }
  client.Run({"PARTITION.CREATE", "evict", "TASKS", "2", "t", "u"});
  client.Run({"TASK.ACK", "evict", "u", "KEYS", "4", "b", "c", "d", "e"});
  client.Run({"PARTITION.CREATE", "evict", "AUTOEVICT"});
  client.Run({"PARTITION.CREATE", "full", "MAXBYTES", "20001"});
  client.Run({"KV.PUT", "full", "first", "FIELD", "x", "utf8", "BLOB", "hi"});
  client.TakeOutput();
}

// A partition's rows and limits, and what each of its tasks has consumed, leased and remembers: the
// steps that the requests here make or repeat.
std::string DumpTasks(tests::TestClient& client, const std::string& partition) {
  const std::string info = client.Run({"PARTITION.INFO", partition});
  const std::size_t limits = std::min(info.find("limits"), info.size());
  std::string dump = client.Run({"TASK.LIST", partition});  // what is due to go goes first
  dump += client.Run({"KV.LIST", partition});
  dump += info.substr(limits, info.find("created") - limits);
  for (const std::string& task : {std::string("t"), std::string("u"), kTask}) {
    dump += client.Run({"TASK.STATUS", partition, task, "FIELDS", "1", "x", "BITMAP"});
    for (const char* const step : {"0", "7", "9"}) {
      const std::string explained = client.Run({"TASK.EXPLAIN", partition, task, "FIELDS", "1", "x",
                                                "COUNT", "1", "RANK", "0", "STEP", step});
      dump += explained.find("is given again") != std::string::npos ? step : "-";
    }
  }
  return dump;
}

// All that the commands can change, as one text.
std::string Dump(tests::TestServer& server) {
  tests::TestClient client(server);
  std::string dump = client.Run({"DBSIZE"}) + client.Run({"CONFIG", "GET", "*"});
  for (const char* const key : {"string", "large", "new"}) {
    dump += client.Run({"GET", key}) + client.Run({"PEXPIRETIME", key});
  }
  dump += client.Run({"PEXPIRETIME", "train"});
  for (const char* const partition : {"train", "fresh", "other", "ai"}) {
    const Words rows = {"8", "k0", "k1", "k9", "2", "k", "a", "t", "new"};
    Words words = {"KV.MGET", partition, "KEYS"};
    words.insert(words.end(), rows.begin(), rows.end());
    words.insert(words.end(), {"FORMAT", "rows"});
    dump += client.Run(words);
    words = {"KV.TAGS", partition, "KEYS"};
    words.insert(words.end(), rows.begin(), rows.end());
    dump += client.Run(words);
  }
  for (const char* const partition : {"stream", "evict", "full", "fresh"}) {
    dump += DumpTasks(client, partition);
  }
  return dump + (server.Stopped() ? "stopped" : "");
}

// The same of one connection: its names, and by the form of null its protocol.
std::string Dump(tests::TestClient& client) {
  const Client& state = client.Get().GetClient();
  return client.Closed() ? "closed"
                         : client.Run({"CLIENT", "GETNAME"}) + client.Run({"GET", "nosuch"}) +
                               state.lib_name + "/" + state.lib_version;
}

// The index that each partition gives to its next row.
std::string NextIndexes(tests::TestServer& server) {
  tests::TestClient client(server);
  return client.Run({"KV.MPUT", "train", "NEW", "1"}) +
         client.Run({"KV.MPUT", "fresh", "NEW", "1"}) +
         client.Run({"KV.MPUT", "other", "NEW", "1"});
}

// What a request leaves behind.
struct State {
  std::string server;
  std::string client;
  std::string indexes;
  friend bool operator==(const State& a, const State& b) {
    return a.server == b.server && a.client == b.client && a.indexes == b.indexes;
  }
};

struct Run {
  bool failed = false;  // an allocation did
  std::string reply;
  State state;
  std::int64_t used_before = 0;
  std::int64_t used_after = 0;
};

// Runs `words` on a server of its own with the n-th allocation failing; 0: none.
Run RunOnce(const Words& words, std::uint64_t n) {
  tests::TestServer server;
  tests::TestClient setup(server);
  Populate(setup);
  static_cast<void>(Dump(server));
  Run run;
  run.used_before = server.GetMemory().GetBudget().Used();
  {
    tests::TestClient client(server);
    client.Run({"PING"});
    const std::string bytes = tests::Encode(words);
    if (n > 0) {
      const tests::FailNthAllocation fail(n);
      client.FeedOnly(bytes);
      run.failed = fail.Failed();
    } else {
      client.FeedOnly(bytes);
    }
    run.reply = client.TakeOutput();
    if (client.Get().Parked()) {  // it waits: until its time is up
      server.GetClock().Advance(1000000);
      run.reply = client.Resume();
    }
    run.state.client = Dump(client);
  }
  run.state.server = Dump(server);
  run.used_after = server.GetMemory().GetBudget().Used();
  run.state.indexes = NextIndexes(server);
  return run;
}

TEST_CASE("every command has a request here", "[faults]") {
  for (const auto family : Families()) {
    for (const Command& row : family) {
      CAPTURE(row.name);
      CHECK((row.handler == nullptr || Requests().count(std::string(row.name)) > 0));
    }
  }
}

// REQUIRES: untouched: a run of PING; whole: one of `words` without a failure.
// view_bytes: what may be kept for the next call.
void CheckFailed(const Run& run, const Run& untouched, const Run& whole, bool same_reply,
                 std::int64_t view_bytes) {
  if (run.reply.empty() && run.state.client == "closed") {  // not even an error found room
    State expected = untouched.state;
    expected.client = "closed";
    CHECK((run.state == expected || (whole.reply.empty() && run.state == whole.state)));
    return;
  }
  const auto values = tests::DecodeAll(run.reply);
  REQUIRE(values.size() == 1);
  if (values[0].type == '-' && values[0].text.starts_with("OOM ")) {
    CHECK(run.state.server == untouched.state.server);
    CHECK(run.state.client == untouched.state.client);
    CHECK(run.state.indexes == untouched.state.indexes);
    CHECK(run.used_after >= run.used_before);
    CHECK(run.used_after <= run.used_before + view_bytes);
    return;
  }
  // What only serves comfort (a cache, a spare block) may fail without harm: then all was done.
  CHECK((!same_reply || run.reply == whole.reply));
  CHECK(run.reply[0] == whole.reply[0]);
  CHECK(run.state.server == whole.state.server);
  CHECK(run.state.client == whole.state.client);
  CHECK(run.state.indexes == whole.state.indexes);
}

TEST_CASE("no failing allocation leaves anything half done", "[faults]") {
  const Run untouched = RunOnce({"PING"}, 0);
  for (const auto& [name, words] : Requests()) {
    const Run whole = RunOnce(words, 0);
    for (std::uint64_t n = 1;; ++n) {
      CAPTURE(name, words[0], words.size() > 1 ? words[1] : "", n);
      REQUIRE(n < 50000);
      const Run run = RunOnce(words, n);
      if (!run.failed) {
        break;
      }
      CAPTURE(run.reply.substr(0, 200));
      // INFO tells the time it took, MEMORY STATS what the process weighs.
      // A task's view of its rows that was made stays.
      CheckFailed(run, untouched, whole, name != "info" && name != "memory|stats",
                  name.starts_with("task.") ? 2048 : 0);
    }
  }
}

}  // namespace
}  // namespace sluice::server

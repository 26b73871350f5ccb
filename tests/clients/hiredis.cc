// The conversation of test_clients.py by hiredis: hiredis_client PORT FOLDER PASSWORD

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <hiredis/hiredis.h>

namespace {

struct Free {
  void operator()(redisContext* context) const { redisFree(context); }
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};
using Connection = std::unique_ptr<redisContext, Free>;
using Reply = std::unique_ptr<redisReply, Free>;
using Words = std::vector<std::string>;

[[noreturn]] void Die(std::string_view why) {
  fmt::print(stderr, "{}\n", why);
  std::exit(1);
}

void Append(const Connection& to, const Words& words) {
  std::vector<const char*> pointers;
  std::vector<std::size_t> lengths;
  for (const std::string& word : words) {
    pointers.push_back(word.data());
    lengths.push_back(word.size());
  }
  redisAppendCommandArgv(to.get(), static_cast<int>(words.size()), pointers.data(), lengths.data());
}

Reply Next(const Connection& from) {
  void* reply = nullptr;
  if (redisGetReply(from.get(), &reply) != REDIS_OK) {
    Die(from->errstr);
  }
  return Reply(static_cast<redisReply*>(reply));
}

Reply Call(const Connection& server, const Words& words) {
  Append(server, words);
  return Next(server);
}

std::string_view Text(const redisReply& reply) {
  return {reply.str, reply.len};
}

std::string Quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", c);
    } else {
      out += c == '"' || c == '\\' ? std::string{'\\', c} : std::string{c};
    }
  }
  return out + '"';
}

std::string Json(const redisReply& reply) {
  if (reply.type == REDIS_REPLY_NIL) {
    return "null";
  }
  if (reply.type == REDIS_REPLY_INTEGER) {
    return fmt::format("{}", reply.integer);
  }
  if (reply.type != REDIS_REPLY_ARRAY) {
    return Quoted(Text(reply));
  }
  std::string parts;
  for (std::size_t i = 0; i < reply.elements; ++i) {
    parts += (i == 0 ? "" : ",") + Json(*reply.element[i]);
  }
  return "[" + parts + "]";
}

class Conversation {
 public:
  Conversation(int port, std::filesystem::path folder, std::string password)
      : port_(port), folder_(std::move(folder)), password_(std::move(password)) {}

  void Talk() {
    std::string saw =
        fmt::format(R"("version":"{}.{}.{}")", HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
    const auto add = [&saw](std::string_view name, const std::string& json) {
      saw += fmt::format(",\"{}\":{}", name, json);
    };
    add("ping", Json(*Call(client_, {"PING"})));
    add("client", Json(*Call(client_, {"CLIENT", "INFO"})));
    add("pipeline", Pipeline());
    add("transaction", Transaction());
    add("watch", Watch());
    add("error", Json(*Call(client_, {"KV.MGET", "nowhere", "KEYS", "1", "k"})));
    const std::string small = Tensor("small", {"2", "3"});
    add("tensors",
        fmt::format(R"({{"small":{},"large":{}}})", small, Tensor("large", {"1024", "512"})));
    add("message", Message());
    fmt::print("{{{}}}\n", saw);
  }

 private:
  Connection Connect() const {
    Connection made(redisConnect("127.0.0.1", port_));
    if (!made || made->err != 0) {
      Die("no connection");
    }
    if (!password_.empty() && Call(made, {"AUTH", password_})->type != REDIS_REPLY_STATUS) {
      Die("AUTH is refused");
    }
    return made;
  }

  std::string Pipeline() {
    for (int i = 0; i < 1000; ++i) {
      Append(client_, {"INCR", "counter"});
    }
    Append(client_, {"GET", "counter"});
    const std::string first = Json(*Next(client_));
    for (int i = 0; i < 998; ++i) {
      Next(client_);
    }
    const std::string last = Json(*Next(client_));
    return fmt::format("[{},{},{}]", first, last, Json(*Next(client_)));
  }

  std::string Transaction() {
    Append(client_, {"MULTI"});
    Append(client_, {"INCR", "watched"});
    Append(client_, {"APPEND", "word", "ab"});
    Append(client_, {"KV.PUT", "clients", "in_multi", "FIELD", "n", "int64", "VALUES", "7"});
    Append(client_, {"EXEC"});
    for (int i = 0; i < 4; ++i) {
      Next(client_);
    }
    return Json(*Next(client_));
  }

  std::string Watch() {
    Call(client_, {"WATCH", "watched"});
    Call(Connect(), {"INCR", "watched"});
    Call(client_, {"MULTI"});
    Call(client_, {"INCR", "watched"});
    const Reply reply = Call(client_, {"EXEC"});
    return reply->type == REDIS_REPLY_NIL ? R"("aborted")" : Json(*reply);
  }

  std::string Tensor(const std::string& key, const Words& shape) {
    std::ifstream file(folder_ / key, std::ios::binary);
    Words put = {"KV.PUT", "clients", key, "FIELD", "x", "float32"};
    put.insert(put.end(), shape.begin(), shape.end());
    put.insert(put.end(), {"BLOB", std::string(std::istreambuf_iterator<char>(file), {})});
    const std::string is_new = Json(*Call(client_, put));
    const Reply rows = Call(client_, {"KV.MGET", "clients", "KEYS", "1", key, "FIELDS", "1", "x"});
    if (rows->type != REDIS_REPLY_ARRAY) {
      Die(Text(*rows));
    }
    const redisReply& field = *rows->element[0];
    std::ofstream(folder_ / (key + ".got"), std::ios::binary) << Text(*field.element[4]);
    std::string about;
    for (int i = 0; i < 4; ++i) {
      about += "," + Json(*field.element[i]);
    }
    return "[" + is_new + about + "]";
  }

  std::string Message() const {
    const Connection listener = Connect();
    Call(listener, {"SUBSCRIBE", "news"});
    const Reply heard = Next(listener);
    Call(listener, {"UNSUBSCRIBE", "news"});
    return Json(*heard->element[2]);
  }

  int port_;
  std::filesystem::path folder_;
  std::string password_;
  Connection client_ = Connect();
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    Die("hiredis_client PORT FOLDER PASSWORD");
  }
  Conversation(std::atoi(argv[1]), argv[2], argv[3]).Talk();
}
